package bootloader

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/bootloader/grubtest"
	"griddle/initramfs/disk/disktest"

	"github.com/google/uuid"
)

// mirrorIDs are the UUIDs of the EFI system partitions of mirrored.
var mirrorIDs = []string{"7A3C-11F0", "7A3C-11F1"}

// mirrored are two disks with a mirror that has the roots good and new, as files. Each has an EFI system partition with
// a grubenv.
func mirrored(t *testing.T, envs [2]bootenv.Env) (disks [2]string) {
	t.Helper()
	id := uuid.NewString()
	var halves []string
	for i := range disks {
		disks[i] = disktest.File(t, 220<<20)
		table := exec.Command("sfdisk", "--quiet", disks[i])
		table.Stdin = strings.NewReader("label: gpt\n2: start=1MiB, size=40MiB, type=U\n3: size=160MiB, type=L\n")
		if out, err := table.CombinedOutput(); err != nil {
			t.Fatalf("sfdisk: %v: %s", err, out)
		}
		dev := strings.TrimSpace(disktest.Tool(t, "losetup", "--find", "--show", "--offset", fmt.Sprint(41<<20),
			"--sizelimit", fmt.Sprint(160<<20), disks[i]))
		t.Cleanup(func() { disktest.Detach(t, dev) })
		halves = append(halves, dev)
	}
	disktest.Tool(t, "mkfs.btrfs", append([]string{"--quiet", "--force", "--uuid", id, "-d", "raid1", "-m", "raid1"},
		halves...)...)
	top := t.TempDir()
	disktest.Tool(t, "mount", "-o", "device="+halves[1], halves[0], top)
	for _, name := range []string{"good", "new", "good~7"} {
		dir := filepath.Join(top, Roots, name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte(name), 0o644),
			os.WriteFile(filepath.Join(dir, "initrd.img"), []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	disktest.Tool(t, "umount", top)
	for i, dev := range halves {
		disktest.Tool(t, "blockdev", "--flushbufs", dev)
		esp, files := filepath.Join(t.TempDir(), "esp"), t.TempDir()
		conf := Config{ESP: "GR-1B4E28BA", PoolID: id, Root: Roots + "/good", Mirror: mirrorIDs}
		if err := errors.Join(WriteConfig(files, conf), bootenv.Write(files, envs[i]),
			os.WriteFile(esp, nil, 0o600), os.Truncate(esp, 40<<20)); err != nil {
			t.Fatal(err)
		}
		disktest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", "-i", strings.ReplaceAll(mirrorIDs[i], "-", ""), esp)
		disktest.Tool(t, "mcopy", "-s", "-i", esp, filepath.Join(files, "griddle"), "::/")
		disktest.Tool(t, "dd", "if="+esp, "of="+disks[i], "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
	}
	return disks
}

// envOn is what grubenv says on one of the disks.
func envOn(t *testing.T, disk string) bootenv.Env {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, bootenv.Folder), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range bootenv.Names {
		disktest.Tool(t, "mcopy", "-n", "-i", grubtest.Partition(disk), "::/griddle/"+name,
			filepath.Join(dir, bootenv.Folder, name))
	}
	e, err := bootenv.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A mirror starts from each of its disks, with the other one or without, counts on both, and does not start from what a
// disk says that was away.
func TestGRUBMirror(t *testing.T) {
	try := bootenv.Env{Good: "good", Candidate: "new", Tries: 1, Sequence: 4}
	tried := bootenv.Env{Good: "good", Candidate: "new", Sequence: 4}
	later := bootenv.Env{Good: "new", Sequence: 5}
	for _, c := range []struct {
		name     string
		envs     [2]bootenv.Env
		from     []int // the disks, from the first of which GRUB starts
		root     string
		degraded bool
		after    [2]bootenv.Env
		screen   string
	}{
		{"both", [2]bootenv.Env{try, try}, []int{0, 1}, "new", false, [2]bootenv.Env{tried, tried}, ""},
		{"both, from the second", [2]bootenv.Env{try, try}, []int{1, 0}, "new", false,
			[2]bootenv.Env{tried, tried}, ""},
		{"the first alone", [2]bootenv.Env{try, try}, []int{0}, "new", true, [2]bootenv.Env{tried, try},
			"a disk of the mirror is missing"},
		{"the second alone", [2]bootenv.Env{try, try}, []int{1}, "new", true, [2]bootenv.Env{try, tried},
			"a disk of the mirror is missing"},
		{"the first was away", [2]bootenv.Env{try, later}, []int{0, 1}, "new", false, [2]bootenv.Env{try, later},
			"this disk was away"},
		{"the second was away", [2]bootenv.Env{later, try}, []int{0, 1}, "new", false, [2]bootenv.Env{later, try}, ""},
		{"the first was away, and is alone", [2]bootenv.Env{tried, later}, []int{0}, "good", true,
			[2]bootenv.Env{tried, later}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			disks := mirrored(t, c.envs)
			var on []string
			for _, i := range c.from {
				on = append(on, disks[i])
			}
			got := grubtest.Start(t, on...)
			if got.Root != c.root || got.Degraded() != c.degraded || !strings.Contains(got.Screen, c.screen) {
				t.Errorf("started %q with %q, want %q, degraded %v:\n%s", got.Root, got.Args, c.root, c.degraded,
					got.Screen)
			}
			for i, want := range c.after {
				if e := envOn(t, disks[i]); e != want {
					t.Errorf("grubenv of disk %d is %+v, want %+v", i, e, want)
				}
			}
		})
	}
}

// What Render writes of a mirror is read back, and a pool on one disk has nothing of it.
func TestMirrorConfig(t *testing.T) {
	c := Config{ESP: "GR-1B4E28BA", PoolID: uuid.NewString(), Root: Roots + "/good", Args: []string{"quiet"}}
	plain, err := c.Render()
	if err != nil || bytes.Contains(plain, []byte("degraded")) || bytes.Contains(plain, []byte("twice")) ||
		bytes.Contains(plain, []byte("@TWICE@")) {
		t.Errorf("a pool on one disk has the script of a mirror: %v", err)
	}
	c.Mirror = mirrorIDs
	dir := t.TempDir()
	if err := WriteConfig(dir, c); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadConfig(dir); err != nil || !slices.Equal(got.Mirror, c.Mirror) || got.PoolID != c.PoolID ||
		!slices.Equal(got.Args, c.Args) || got.Root != c.Root {
		t.Errorf("ReadConfig = %+v, %v, want %+v", got, err, c)
	}
	for _, ids := range [][]string{{"7A3C-11F0"}, {"7A3C-11F0", "x; halt"}, {"7A3C-11F0", "7A3C-11F0", "7A3C-11F2"}} {
		c.Mirror = ids
		if _, err := c.Render(); err == nil {
			t.Errorf("Render with the partitions %q succeeds", ids)
		}
	}
}
