package unit

import (
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/sysroot"
)

// files are all but the folders of a tree.
func files(t *testing.T, root *os.Root) (out []string) {
	t.Helper()
	if err := fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// What Install leaves, programs can run, and Remove takes away.
func TestInstall(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := sysroot.Dir{Root: root}
	if err := Remove(d); err != nil {
		t.Errorf("of an empty tree: %v", err)
	}
	if err := d.Write("etc/kernel/postinst.d/other", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Install(d); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"etc/initramfs/post-update.d/zz-griddle", "etc/kernel/install.d/99-griddle.install",
		"etc/kernel/postinst.d/other", "etc/kernel/postinst.d/zz-griddle", "etc/kernel/postrm.d/zz-griddle",
		"etc/kernel/prerm.d/zz-griddle", "etc/systemd/system/griddle-kernels.path",
		"etc/systemd/system/griddle-kernels.service",
		"etc/systemd/system/multi-user.target.wants/griddle-kernels.path",
		"etc/systemd/system/multi-user.target.wants/griddle-kernels.service"}
	if got := files(t, root); !slices.Equal(got, want) {
		t.Errorf("the files are %q, want %q", got, want)
	}
	for name := range hooks() {
		st, err := root.Stat(name)
		if err != nil || st.Mode() != 0o755 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
		if out, err := exec.Command("dash", "-n", root.Name()+"/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		dir := root.Name() + "/" + name[:strings.LastIndex(name, "/")]
		if out, err := exec.Command("run-parts", "--test", dir).CombinedOutput(); err != nil ||
			strings.Contains(string(out), "zz-griddle") == strings.Contains(name, "install.d") {
			t.Errorf("run-parts of %s runs %q, %v", dir, out, err)
		}
	}
	for range 2 {
		if err := Remove(d); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, root); !slices.Equal(got, []string{"etc/kernel/postinst.d/other"}) {
		t.Errorf("after Remove the files are %q", got)
	}
}
