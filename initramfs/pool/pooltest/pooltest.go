// Package pooltest makes pools for tests: real btrfs on loop devices.
package pooltest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
)

// Job is the job that installed each pool.
const Job = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

// Made is a pool.
type Made struct {
	Device string // that has the pool alone
	Top    string // path of its top
	ESP    string // a folder: the kernel of the machine that tests may have no FAT
	ID     string // UUID of the filesystem
}

// Tool runs a program that must succeed.
func Tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Loop is a device of n bytes. It fails the test if something still uses it in the end.
func Loop(t testing.TB, n int64) string {
	t.Helper()
	return disktest.Loop(t, n, 512)
}

// Put writes files below dir.
func Put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// Installed is a pool with the image one, its roots one and two, the root bare without a kernel and without an image,
// @home and @persistent. It boots one.
func Installed(t testing.TB) Made {
	t.Helper()
	p := Made{Device: Loop(t, 512<<20), ESP: t.TempDir()}
	// With a UUID of ours it would look at all devices, and keep other tests from removing theirs.
	Tool(t, "mkfs.btrfs", "--quiet", "--force", "--label", "griddle", p.Device)
	m, err := subvolume.Top(p.Device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	top := m.Dir()
	p.Top = top
	id, err := subvolume.Filesystem(top)
	if err != nil {
		t.Fatal(err)
	}
	p.ID = uuid.UUID(id).String()
	for _, dir := range []string{"@roots", "@images"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	Tool(t, "btrfs", "subvolume", "create", top+"/build")
	Put(t, top+"/build", map[string]string{"boot/vmlinuz-6.1.0": "a kernel", "etc/hostname": "one\n"})
	Tool(t, "btrfs", "subvolume", "snapshot", "-r", top+"/build", top+"/@images/one@amd64")
	if err := subvolume.Delete(top, "build"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one@amd64", "two@amd64"} {
		Tool(t, "btrfs", "subvolume", "snapshot", top+"/@images/one@amd64", top+"/@roots/"+name)
	}
	for _, name := range []string{"@roots/bare", "@home", "@persistent", "@roots/two@amd64/var"} {
		Tool(t, "btrfs", "subvolume", "create", top+"/"+name)
	}
	Put(t, top, map[string]string{"@home/ada/notes": "hers", "@persistent/griddle/seen": "7",
		"@roots/two@amd64/etc/hostname": "two\n", "@roots/two@amd64/var/log/x": "y", "@roots/bare/file": "z"})
	if err := errors.Join(bootenv.Write(p.ESP, bootenv.Env{Good: "one@amd64"}),
		bootloader.WriteConfig(p.ESP, bootloader.Config{ESP: "GR-1B4E28BA", PoolID: p.ID, Root: "@roots/one@amd64",
			Args: []string{"quiet", "net.ifnames=0"}})); err != nil {
		t.Fatal(err)
	}
	return p
}

// Old makes a pool one of an earlier version: its grub.cfg names the root one, which boots, and its grubenv is empty.
// The package of the test is a folder in initramfs.
func Old(t testing.TB, p Made) {
	t.Helper()
	b, err := os.ReadFile("../bootloader/testdata/old.cfg")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("0a1b2c3d-0000-4000-8000-0123456789ab", p.ID,
		"web-20261120.1", "one@amd64").Replace(string(b))
	if err := os.Remove(filepath.Join(p.ESP, "griddle/grubenv2")); err != nil {
		t.Fatal(err)
	}
	Put(t, p.ESP, map[string]string{"griddle/grub.cfg": text, "griddle/grubenv": string(bootenv.Empty())})
}
