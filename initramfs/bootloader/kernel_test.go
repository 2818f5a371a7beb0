package bootloader

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kernelCase is a root, and the kernel and initrd that start.
type kernelCase struct{ files, links, want string }

// kernelCases are roots by what is in them.
func kernelCases() map[string]kernelCase {
	const nine = "boot/vmlinuz-6.1.0-9-amd64 boot/initrd.img-6.1.0-9-amd64"
	const ten = "boot/vmlinuz-6.1.0-10-amd64 boot/initrd.img-6.1.0-10-amd64"
	return map[string]kernelCase{
		"at the top": {nine + " vmlinuz initrd.img", "", "vmlinuz initrd.img"},
		"links at the top": {nine, "vmlinuz:boot/vmlinuz-6.1.0-9-amd64 initrd.img:boot/initrd.img-6.1.0-9-amd64",
			"vmlinuz initrd.img"},
		"links that lead away": {nine,
			"vmlinuz:/boot/vmlinuz-6.1.0-9-amd64 initrd.img:/boot/initrd.img-6.1.0-9-amd64", nine},
		"a link to nothing":  {nine, "vmlinuz:boot/vmlinuz-6.1.0-9-amd64 initrd.img:boot/gone", nine},
		"half at the top":    {nine + " vmlinuz", "", nine},
		"the newest":         {nine + " " + ten, "", ten},
		"not one without":    {nine + " boot/vmlinuz-6.1.0-10-amd64", "", nine},
		"none has an initrd": {"boot/vmlinuz-6.9 boot/vmlinuz-6.10", "", "boot/vmlinuz-6.10"},
		"no leftovers, no rescues": {nine + " boot/vmlinuz-7.dpkg-new boot/vmlinuz-7.old boot/vmlinuz-7-rescue-1" +
			" boot/initramfs-7-rescue-1.img", "", nine},
		"dracut": {"boot/vmlinuz-5.14.0-70.el9 boot/initramfs-5.14.0-70.el9.img", "",
			"boot/vmlinuz-5.14.0-70.el9 boot/initramfs-5.14.0-70.el9.img"},
		"the last initrd of three": {"boot/vmlinuz-1 boot/initrd.img-1 boot/initramfs-1.img boot/initrd-1", "",
			"boot/vmlinuz-1 boot/initrd-1"},
	}
}

// plant makes the root at dir.
func (c kernelCase) plant(t *testing.T, dir string) {
	t.Helper()
	for _, f := range strings.Fields(c.files) {
		p := filepath.Join(dir, f)
		err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("x"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range strings.Fields(c.links) {
		from, to, _ := strings.Cut(l, ":")
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindKernel(t *testing.T) {
	for name, c := range kernelCases() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.plant(t, dir)
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			k, err := FindKernel(root)
			if got := strings.TrimSpace(k.Path + " " + k.Initrd); err != nil || got != c.want {
				t.Errorf("FindKernel = %s, %v, want %s", got, err, c.want)
			}
		})
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if k, err := FindKernel(root); !errors.Is(err, ErrNoKernel) {
		t.Errorf("FindKernel of an empty root = %+v, %v", k, err)
	}
	if err := os.MkdirAll(dir+"/boot/vmlinuz-6.1", 0o755); err != nil {
		t.Fatal(err)
	}
	if k, err := FindKernel(root); !errors.Is(err, ErrNoKernel) {
		t.Errorf("FindKernel of a folder = %+v, %v", k, err)
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"6.1.0-10-amd64", "6.1.0-9-amd64", true}, {"6.1.0-9-amd64", "6.1.0-10-amd64", false},
		{"6.10", "6.9", true}, {"6.1", "6.1", false}, {"6.1.1", "6.1", false}, {"6.1", "6.1.1", false},
		{"6.1-b", "6.1-a", false}, {"6.8.1-060801", "6.8.0-060800", true}, {"6.8-010", "6.8-9", false},
		{"", "", false}, {"99999999999999999999", "1", true},
	} {
		if got := newer(c.a, c.b); got != c.want {
			t.Errorf("newer(%q, %q) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	c := Config{PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x",
		Args: []string{"quiet", `dyndbg="file a +p"`}}
	want := `root=UUID=0a1b2c3d-0000-4000-8000-0123456789ab rootflags=subvol=@roots/x rw console=ttyS0,115200 ` +
		`console=tty0 panic=10 oops=panic quiet "dyndbg=file a +p"`
	if got, err := c.CommandLine(); err != nil || got != want {
		t.Errorf("CommandLine() = %q, %v, want %q", got, err, want)
	}
	c.Root = "@roots/x,ro"
	if got, err := c.CommandLine(); err == nil {
		t.Errorf("CommandLine() = %q, want an error", got)
	}
}
