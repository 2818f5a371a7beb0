package pool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use. With
// switchEnv it is the program that TestSwitchIsKilled kills.
func TestMain(m *testing.M) {
	const done = "GRIDDLE_TEST_OWN_MOUNTS"
	if os.Getenv(done) == "" {
		if unshare, err := exec.LookPath("unshare"); err == nil {
			_ = unix.Exec(unshare, append([]string{unshare, "--mount", "--"}, os.Args...),
				append(os.Environ(), done+"=1"))
		}
	}
	if dirs := os.Getenv(switchEnv); dirs != "" {
		top, esp, _ := strings.Cut(dirs, ":")
		switchForEver(top, esp)
	}
	os.Exit(m.Run())
}

// poolID is the UUID of the pool that installed made last.
var poolID string

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// loop is a device with a file of n bytes behind it.
func loop(t testing.TB, n int64) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, n)); err != nil {
		t.Fatal(err)
	}
	dev := tool(t, "losetup", "--find", "--show", "--partscan", img)
	t.Cleanup(func() {
		exec.Command("partx", "-d", dev).Run()
		tool(t, "losetup", "-d", dev)
		back, _ := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
		if strings.Contains(string(back), img) {
			t.Errorf("%s is still in use: its pool is mounted", dev)
		}
	})
	return dev
}

func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// installed is a pool on a real btrfs with the image one, its roots one and two, the root bare without a kernel and
// without an image, @home and @persistent. It boots one. The kernel of the machine that tests may have no FAT, so its
// EFI system partition is a folder.
func installed(t *testing.T) (p *Pool, dev string) {
	t.Helper()
	dev, poolID = loop(t, 512<<20), uuid.NewString()
	tool(t, "mkfs.btrfs", "--quiet", "--label", "griddle", "--uuid", poolID, dev)
	m, err := subvolume.Top(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	top := m.Dir()
	for _, dir := range []string{roots, images} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "btrfs", "subvolume", "create", top+"/build")
	put(t, top+"/build", map[string]string{"boot/vmlinuz-6.1.0": "a kernel", "etc/hostname": "one\n"})
	tool(t, "btrfs", "subvolume", "snapshot", "-r", top+"/build", top+"/@images/one@amd64")
	if err := subvolume.Delete(top, "build"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one@amd64", "two@amd64"} {
		tool(t, "btrfs", "subvolume", "snapshot", top+"/@images/one@amd64", top+"/@roots/"+name)
	}
	for _, name := range []string{"@roots/bare", "@home", "@persistent", "@roots/two@amd64/var"} {
		tool(t, "btrfs", "subvolume", "create", top+"/"+name)
	}
	put(t, top, map[string]string{"@home/ada/notes": "hers", "@persistent/griddle/seen": "7",
		"@roots/two@amd64/etc/hostname": "two\n", "@roots/two@amd64/var/log/x": "y", "@roots/bare/file": "z"})
	p = &Pool{place: Place{Job: "1b4e28ba-2fa1-11d2-883f-0016d3cca427"}, dir: top, esp: t.TempDir()}
	put(t, p.esp, map[string]string{"griddle/grubenv": "env"})
	if err := bootloader.WriteConfig(p.esp, bootloader.Config{Title: "one:1", ESP: p.place.label(), PoolID: poolID,
		Root: "@roots/one@amd64", Args: []string{"quiet", "net.ifnames=0"}}); err != nil {
		t.Fatal(err)
	}
	return p, dev
}

// tree is all that is below dir: names, modes and contents.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir+"/.", func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		var text []byte
		if st.Mode().IsRegular() {
			if text, err = os.ReadFile(name); err != nil {
				return err
			}
		}
		fmt.Fprintf(&out, "%s %s %q\n", strings.TrimPrefix(name, dir), st.Mode(), text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
