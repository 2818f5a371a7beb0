package keysearch

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/machinekey"
)

func tool(t testing.TB, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run make deps", err)
	}
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// loop attaches a file as a disk.
func loop(t testing.TB, img string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", "--partscan", img).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		exec.Command("partx", "-d", dev).Run()
		tool(t, "losetup", "-d", dev)
	})
	return dev
}

func blank(t testing.TB) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, 512<<20)); err != nil {
		t.Fatal(err)
	}
	return img
}

// install makes what an install leaves on a partition: a pool with the key c, written at a time. more changes it while
// it is mounted at top.
func install(t testing.TB, node string, c tls.Certificate, at time.Time, more func(top string)) {
	t.Helper()
	tool(t, "mkfs.btrfs", "-q", "-f", node)
	top := t.TempDir()
	tool(t, "mount", node, top)
	defer tool(t, "umount", top)
	tool(t, "btrfs", "subvolume", "create", filepath.Join(top, "@persistent"))
	folder := filepath.Join(top, "@persistent", machinekey.Folder)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := errors.Join(machinekey.Keep(dir, c), dir.Chtimes(machinekey.File, at, at)); err != nil {
		t.Fatal(err)
	}
	if more != nil {
		more(top)
	}
}

func newKey(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func same(a Key, b tls.Certificate) bool {
	x, ok := a.PrivateKey.(ed25519.PrivateKey)
	return ok && slices.Equal(x, b.PrivateKey.(ed25519.PrivateKey))
}

// sum is a digest of every byte of a file.
func sum(t testing.TB, name string) string {
	t.Helper()
	unix.Sync()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

var early = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// partitioned attaches a file with an install's partitions as a disk, and returns it as a Scanner lists it.
func partitioned(t testing.TB, img string) disk.Disk {
	t.Helper()
	d := disk.Disk{Path: loop(t, img)}
	f, err := os.OpenFile(d.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d.Size, d.SectorSize, err = disk.Geometry(f); err != nil {
		t.Fatal(err)
	}
	l, err := table.WholeDisk("5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", d.Size, d.SectorSize)
	if err != nil {
		t.Fatal(err)
	}
	if d.Content, err = content.Inspect(f, d.Size, d.SectorSize); err == nil && d.Table == "" {
		err = l.Write(f, content.Content{})
	}
	if err == nil {
		err = table.Announce(f, "/sys", l.Parts())
	}
	if err != nil {
		t.Fatal(err)
	}
	return inspected(t, d)
}

func inspected(t testing.TB, d disk.Disk) disk.Disk {
	t.Helper()
	f, err := os.Open(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d.Content, err = content.Inspect(f, d.Size, d.SectorSize); err != nil {
		t.Fatal(err)
	}
	return d
}
