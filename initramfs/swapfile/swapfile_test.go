package swapfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a program.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s (make deps installs the tools; they need root)", args, err, out)
	}
	return string(out)
}

// pool mounts a btrfs of 300 MiB and makes the subvolume in it.
func pool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	img, top := filepath.Join(dir, "img"), filepath.Join(dir, "top")
	run(t, "truncate", "-s", "300M", img)
	run(t, "mkfs.btrfs", "-q", img)
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop,compress-force=zstd", img, top)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", top).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	run(t, "btrfs", "subvolume", "create", filepath.Join(top, Subvolume))
	return top
}

// The kernel's own swapon would give the host the file: btrfs checks the same without it.
func TestMake(t *testing.T) {
	t.Parallel()
	top := pool(t)
	root, err := os.OpenRoot(filepath.Join(top, Subvolume))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	file := filepath.Join(top, Subvolume, name)
	if err := Make(root, 1<<19); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("less than 1 MiB made a file")
	}
	if err := root.WriteFile(name+".new", []byte("of a crash"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Make(root, 64<<20+5); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(file); err != nil || st.Size() != 64<<20 || st.Mode() != 0o600 {
			t.Fatalf("the file is %v, %v", st, err)
		}
		run(t, "btrfs", "inspect-internal", "map-swapfile", file) // fails where swapon would
		if got := run(t, "blkid", "-p", "-o", "value", "-s", "TYPE", file); got != "swap\n" {
			t.Errorf("blkid says %q", got)
		}
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := Make(root, 32<<20); err != nil { // another size
		t.Fatal(err)
	}
	after, err := os.Stat(file)
	if err != nil || os.SameFile(before, after) || after.Size() != 32<<20 {
		t.Errorf("the file of another size is %v, %v", after, err)
	}
	run(t, "mkswap", file) // takes what is there, as a person would
	err = Make(root, 1<<30)
	const want = "making the swap file of 1024 MiB: no space left on device; give a smaller swap"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a file larger than the disk: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(top, Subvolume)); err != nil || len(entries) != 1 {
		t.Errorf("after that there are %v, %v", entries, err)
	}
}

// findmnt reads the lines.
func TestLines(t *testing.T) {
	t.Parallel()
	fstab := filepath.Join(t.TempDir(), "fstab")
	text := strings.Join(Lines("UUID=6c3f1b1e-0000-4000-8000-000000000001"), "\n") + "\n"
	if err := os.WriteFile(fstab, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got := run(t, "findmnt", "-F", fstab, "--noheadings", "--list", "--output", "SOURCE,TARGET,FSTYPE,OPTIONS")
	want := "UUID=6c3f1b1e-0000-4000-8000-000000000001 /swap btrfs subvol=/@swap,noatime,nofail," +
		"x-systemd.device-timeout=0 /swap/swapfile none swap nofail"
	if got := strings.Join(strings.Fields(got), " "); got != want {
		t.Errorf("findmnt says %q, want %q", got, want)
	}
}
