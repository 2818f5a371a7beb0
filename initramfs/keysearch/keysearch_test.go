package keysearch

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"griddle/initramfs/disk"
	"griddle/initramfs/machinekey"
)

// TestNewest finds the key, and changes no byte: of a disk whose pool was unmounted, and of one whose power was cut,
// which has a log to replay. Nothing stays mounted: the disk can be claimed.
func TestNewest(t *testing.T) {
	img, cut, want := blank(t), blank(t), newKey(t)
	d := partitioned(t, img)
	node, err := disk.Node(d.Path, "/sys", 3)
	if err != nil {
		t.Fatal(err)
	}
	install(t, node, want, early, func(top string) {
		tool(t, "sync", "-f", top)
		f, err := os.Create(filepath.Join(top, "@persistent", "logged"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		tool(t, "cp", "--sparse=always", img, cut)
	})
	c := partitioned(t, cut)
	broken, err := disk.Node(c.Path, "/sys", 3)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("btrfs", "inspect-internal", "dump-super", broken).CombinedOutput()
	if err != nil || strings.Contains(string(out), "log_root\t\t0\n") {
		t.Fatalf("the pool has no log: %v: %s", err, out)
	}
	for name, d := range map[string]disk.Disk{img: inspected(t, d), cut: c} {
		before := sum(t, name)
		got, notes, err := Newest(t.Context(), []disk.Disk{d})
		if err != nil || len(notes) > 0 || !same(got, want) || !got.Kept.Equal(early) {
			t.Errorf("Newest() of %s = %v, %v, %v", d.Path, got.Pool, notes, err)
		}
		f, err := disk.Claim(d.Path)
		if err != nil {
			t.Errorf("%s is still in use: %v", d.Path, err)
		} else if err := f.Close(); err != nil {
			t.Error(err)
		}
		if sum(t, name) != before {
			t.Errorf("%s has changed", name)
		}
	}
}

// TestSeveral: the key that was written last counts, and a pool that cannot be read is only a note.
func TestSeveral(t *testing.T) {
	older, newer := newKey(t), newKey(t)
	var nodes []string
	for range 4 {
		nodes = append(nodes, loop(t, blank(t)))
	}
	install(t, nodes[0], older, early, nil)
	install(t, nodes[1], newer, early.Add(time.Hour), nil)
	tool(t, "mkfs.btrfs", "-q", nodes[2]) // without @persistent
	for _, order := range [][]string{{nodes[0], nodes[1]}, {nodes[3], nodes[1], nodes[2], nodes[0]}} {
		got, notes, err := newestOf(t.Context(), order, alone)
		if err != nil || !same(got, newer) || got.Pool != nodes[1] || len(notes) != len(order)/4 {
			t.Errorf("newestOf(%v) = %s, %v, %v; want the key on %s", order, got.Pool, notes, err, nodes[1])
		}
	}
	if _, notes, err := newestOf(t.Context(), nodes[2:], alone); !errors.Is(err, fs.ErrNotExist) || len(notes) != 1 {
		t.Errorf("newestOf of pools without a key = %v, %v", notes, err)
	}
}

// TestHostile gives what a stranger may have written in place of a key: it is a note, and no other file of the machine
// is read or changed.
func TestHostile(t *testing.T) {
	dev, elsewhere := loop(t, blank(t)), t.TempDir()
	for name, change := range map[string]func(folder string) error{
		"the folder is a link": func(folder string) error {
			return errors.Join(os.Rename(folder, folder+"2"), os.Symlink("griddle2", folder))
		},
		"the folder is a link to elsewhere": func(folder string) error {
			return errors.Join(os.RemoveAll(folder), os.Symlink(elsewhere, folder))
		},
		"the key is a link": func(folder string) error {
			file := filepath.Join(folder, machinekey.File)
			return errors.Join(os.Rename(file, file+"2"), os.Symlink(machinekey.File+"2", file))
		},
		"others can read it": func(folder string) error {
			return os.Chmod(filepath.Join(folder, machinekey.File), 0o644)
		},
		"it is a pipe": func(folder string) error {
			file := filepath.Join(folder, machinekey.File)
			return errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600))
		},
		"it is large": func(folder string) error { return os.Truncate(filepath.Join(folder, machinekey.File), 1<<30) },
	} {
		install(t, dev, newKey(t), early, func(top string) {
			if err := change(filepath.Join(top, "@persistent", machinekey.Folder)); err != nil {
				t.Fatal(err)
			}
		})
		before := sum(t, dev)
		if got, notes, err := newestOf(t.Context(), []string{dev}, alone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: newestOf() = %+v, %v, %v", name, got, notes, err)
		} else {
			t.Logf("%s: %v", name, notes)
		}
		if sum(t, dev) != before {
			t.Errorf("%s: the disk has changed", name)
		}
	}
}

// TestSilent: a pool that does not answer does not hold up the boot.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want, wake, began := newKey(t), make(chan bool), time.Now()
		got, notes, err := newestOf(t.Context(), []string{"silent", "good"}, func(node string) (Key, error) {
			if node == "silent" {
				<-wake
			}
			return Key{Certificate: want, Pool: node}, nil
		})
		close(wake)
		if err != nil || got.Pool != "good" || len(notes) != 1 || time.Since(began) != limit {
			t.Errorf("newestOf() = %s, %v, %v after %s", got.Pool, notes, err, time.Since(began))
		}
	})
}

// TestPools: only pools of installs are looked at, and not too many.
func TestPools(t *testing.T) {
	img := blank(t)
	d := partitioned(t, img)
	if got := pools([]disk.Disk{d}); got != nil {
		t.Errorf("pools of partitions without filesystems = %v", got)
	}
	d.Partitions[2].Signature.Type = "btrfs"
	want := []string{d.Path + "p3"}
	if got := pools([]disk.Disk{d, {Path: "/dev/none", Content: d.Content}}); !slices.Equal(got, want) {
		t.Errorf("pools() = %v, want %v", got, want)
	}
	if got := pools(slices.Repeat([]disk.Disk{d}, 100)); len(got) != maxPools {
		t.Errorf("pools() of 100 = %d, want %d", len(got), maxPools)
	}
	d.Partitions[2].Name = "data"
	if got := pools([]disk.Disk{d}); got != nil {
		t.Errorf("pools() of another btrfs = %v", got)
	}
}

// alone reads a pool on one disk.
func alone(node string) (Key, error) { return read(node, "") }

// TestMirror: the key of a mirror is found with both disks and with one of them, and the disks stay as they are.
func TestMirror(t *testing.T) {
	both := []string{loop(t, blank(t)), loop(t, blank(t))}
	key := newKey(t)
	install(t, both[0], key, early, func(top string) {
		tool(t, "btrfs", "device", "add", "-f", both[1], top)
		tool(t, "btrfs", "balance", "start", "--force", "-dconvert=raid1", "-mconvert=raid1", top)
	})
	before := sum(t, both[0]) + sum(t, both[1])
	for _, nodes := range [][]string{both, {both[1], both[0]}, both[:1], both[1:]} {
		options := mirrored(nodes[0], nodes)
		if strings.Contains(options, "degraded") != (len(nodes) == 1) ||
			strings.Contains(options, "device=") != (len(nodes) == 2) {
			t.Errorf("with %v the options are %q", nodes, options)
		}
		if got, err := read(nodes[0], options); err != nil || !same(got, key) {
			t.Errorf("read of %v = %v, %v", nodes, got.Pool, err)
		}
	}
	if sum(t, both[0])+sum(t, both[1]) != before {
		t.Error("the disks have changed")
	}
}
