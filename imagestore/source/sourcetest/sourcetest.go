// Package sourcetest gives tests a filesystem with snapshots: Btrfs mounts a new one, and Run runs the programs that
// fill it. Both need root, and fail the test with the name of a missing program.
package sourcetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Btrfs mounts an empty btrfs of 1 GiB on a sparse file, and returns its directory. It is unmounted when the test ends.
func Btrfs(t testing.TB) string {
	t.Helper()
	return BtrfsOf(t, 1<<30)
}

// BtrfsOf is Btrfs of a size in bytes.
func BtrfsOf(t testing.TB, size int64) string {
	t.Helper()
	return Filesystem(t, "btrfs", size)
}

// Filesystem is BtrfsOf for another kind, such as ext4 or xfs; xfs takes 300 MiB at the least.
func Filesystem(t testing.TB, kind string, size int64) string {
	t.Helper()
	base, err := os.MkdirTemp("", "griddle-test-"+kind+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	image, dir := filepath.Join(base, "image"), filepath.Join(base, "mnt")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	Run(t, "mkfs."+kind, "-q", image)
	Run(t, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { Run(t, "umount", dir) })
	return dir
}

// Run runs a program that must succeed, and returns its standard output without the final newline.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing; run make deps", name)
	}
	cmd := exec.Command(name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}
