package bootloader

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/umltest/fattest"

	"golang.org/x/sys/unix"
)

var sharedConfig = Config{ESPID: "7A3C-11F0", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x"}

// windowsESP has what a Windows has on its partition, and another Linux. FAT does not tell capital letters from others.
func windowsESP(t *testing.T, dir, fallback string) {
	t.Helper()
	plant(t, dir, fallback, "EFI/Microsoft/Boot/bootmgfw.efi", "EFI/Microsoft/Boot/BCD",
		"EFI/Microsoft/Boot/de-DE/bootmgr.efi.mui", "EFI/Microsoft/Recovery/BCD", "EFI/ubuntu/grubx64.efi",
		"System Volume Information/x", "bootmgr.bak")
}

// tree is all files below a folder, with their bytes and their times.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		i, bad := e.Info()
		if err = errors.Join(err, bad); err == nil {
			name, _ := filepath.Rel(dir, path)
			out[name] = i.ModTime().String() + string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// others is a tree without what is ours.
func others(all map[string]string) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return strings.HasPrefix(name, "griddle/") || strings.HasPrefix(name, "EFI/griddle/")
	})
	return out
}

// fats are images of FAT filesystems: "32" or "16", and a size. Inside fattest there are none.
func fats(t *testing.T, kinds ...string) []string {
	t.Helper()
	var out []string
	for _, kind := range kinds {
		fat, size := kind[:2], int64(40<<20)
		image := filepath.Join(t.TempDir(), "fat"+fat)
		disktest.Image(t, image, size, "mkfs.vfat -F "+fat+" -i 7A3C11F0 -n SYSTEM")
		out = append(out, image)
	}
	return out
}

// On a partition of a Windows our files have their own folders, and all others stay: on real FAT.
func TestSharedESP(t *testing.T) {
	var made []string
	var grub string
	if !fattest.Inside() {
		made, grub = fats(t, "32", "16"), built(t)
	}
	if fattest.Run(t, grub, made...) {
		for _, image := range made {
			disktest.Tool(t, "fsck.vfat", "-n", image)
		}
		return
	}
	images := os.DirFS(fattest.Folder())
	for i, fat := range []string{"32", "16"} {
		dir, unmount := fattest.Mount(t, i)
		windowsESP(t, dir, "EFI/Boot/bootx64.efi")
		before := tree(t, dir)
		for range 2 {
			if err := InstallESP(dir, images, sharedConfig); err != nil {
				t.Fatal(err)
			}
			after := tree(t, dir)
			if !maps.Equal(others(after), before) {
				t.Errorf("FAT%s: files of others changed: %q, before %q", fat, slices.Sorted(maps.Keys(after)),
					slices.Sorted(maps.Keys(before)))
			}
			image := after[Loader]
			if !strings.Contains(image, "search.fs_uuid 7A3C-11F0    root $root\n"+ours) ||
				strings.Contains(image, anyESP) || after["griddle/grub.cfg"] == "" || after["griddle/grubenv2"] == "" {
				t.Errorf("FAT%s: GRUB is not whole: %q", fat, slices.Sorted(maps.Keys(after)))
			}
		}
		unmount()
	}
}

// Firmware without a boot entry starts GRUB from a shared partition if no other system has that place.
func TestSharedFallback(t *testing.T) {
	images := fstest.MapFS{EFIImage: {Data: []byte("MZ " + early + " new")}}
	for _, c := range []struct {
		name, there string // "" for nothing
		ours        bool
	}{{"nothing", "", true}, {"Griddle's", "MZ search.fs_label GR-1B4E28BA root $root\n" + ours, true},
		{"that of Windows", "MZ Microsoft", false}, {"an empty file", " ", false}} {
		dir := t.TempDir()
		if c.there != "" {
			plant(t, dir, Fallback)
			if err := os.WriteFile(filepath.Join(dir, Fallback), []byte(c.there), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := InstallESP(dir, images, sharedConfig); err != nil {
			t.Fatal(err)
		}
		mine, err := os.ReadFile(filepath.Join(dir, Loader))
		now, bad := os.ReadFile(filepath.Join(dir, Fallback))
		if err != nil || bad != nil || bytes.Equal(now, mine) != c.ours || !c.ours && string(now) != c.there {
			t.Errorf("with %s there is %q afterwards, %v, %v", c.name, now, err, bad)
		}
	}
	dir := t.TempDir()
	if err := InstallESP(dir, images, Config{ESP: "GR-1B4E28BA", Shared: true, PoolID: sharedConfig.PoolID,
		Root: "@roots/x"}); err == nil || len(tree(t, dir)) != 0 {
		t.Errorf("a shared partition without its UUID: %v, %v", err, tree(t, dir))
	}
}

// A partition without room is refused before anything is written, and one with just enough of it is not.
func TestFullESP(t *testing.T) {
	var made []string
	var grub string
	if !fattest.Inside() {
		made, grub = fats(t, "32"), built(t)
	}
	if fattest.Run(t, grub, made...) {
		disktest.Tool(t, "fsck.vfat", "-n", made[0])
		return
	}
	images := os.DirFS(fattest.Folder())
	dir, _ := fattest.Mount(t, 0)
	windowsESP(t, dir, "EFI/Boot/bootx64.efi")
	var st unix.Statfs_t
	free := func() int64 {
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Bavail) * st.Bsize
	}
	begun := free()
	if err := InstallESP(dir, images, sharedConfig); err != nil {
		t.Fatal(err)
	}
	needs := begun - free()
	for _, name := range []string{"griddle", "EFI/griddle"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(leave int64) {
		name := filepath.Join(dir, "filler")
		if err := os.WriteFile(name, nil, 0o644); err != nil { // its name takes room too
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, free()-leave), 0o644); err != nil {
			t.Fatal(err)
		}
		if free() != leave {
			t.Fatalf("%d bytes are free, want %d", free(), leave)
		}
	}
	for _, leave := range []int64{0, st.Bsize, needs / 2 / st.Bsize * st.Bsize, needs - st.Bsize} {
		fill(leave)
		before := tree(t, dir)
		if err := InstallESP(dir, images, sharedConfig); !errors.Is(err, ErrFull) ||
			!maps.Equal(tree(t, dir), before) || free() != leave {
			t.Errorf("with %d of %d bytes free: %v, and %q", leave, needs, err, slices.Sorted(maps.Keys(tree(t, dir))))
		}
	}
	fill(needs)
	// What a power cut left is room too.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "EFI/griddle"), 0o755),
		os.WriteFile(filepath.Join(dir, Loader+temporary), make([]byte, 100<<10), 0o644)); err != nil {
		t.Fatal(err)
	}
	before := others(tree(t, dir))
	if err := InstallESP(dir, images, sharedConfig); err != nil {
		t.Errorf("with %d bytes free: %v", needs, err)
	}
	if !maps.Equal(others(tree(t, dir)), before) {
		t.Error("files of others changed")
	}
	if err := InstallESP(dir, images, sharedConfig); err != nil {
		t.Errorf("a second time, on a full partition: %v", err)
	}
}

// A power cut at any operation, and one that fails, leaves each of our files old or new, and all others.
// The next install completes it.
func TestSharedESPIsCut(t *testing.T) {
	image := func(version string) fstest.MapFS {
		return fstest.MapFS{EFIImage: {Data: []byte(early + strings.Repeat(version, 300))}}
	}
	for name, first := range map[string]bool{"the first install": true, "a later one": false} {
		start := t.TempDir()
		windowsESP(t, start, Fallback)
		if !first {
			if err := InstallESP(start, image("old"), sharedConfig); err != nil {
				t.Fatal(err)
			}
		}
		conf := sharedConfig
		conf.Others = true
		var old, new map[string]string
		durabletest.Everywhere(t, start, func(d durable.Disk, dir string) error {
			return installESP(d, dir, image("new"), conf)
		}, func(whole string) {
			old, new = contents(t, start), contents(t, whole)
		}, func(at, dir string) {
			t.Helper()
			now := contents(t, dir)
			for file, b := range now {
				if b != old[file] && b != new[file] && !strings.HasSuffix(file, temporary) {
					t.Fatalf("%s, %s: %s is neither old nor new: %d bytes", name, at, file, len(b))
				}
			}
			for file := range others(old) {
				if now[file] != old[file] {
					t.Fatalf("%s, %s: %s of others has %q, want %q", name, at, file, now[file], old[file])
				}
			}
			if now["griddle/grub.cfg"] == new["griddle/grub.cfg"] && now[Loader] != new[Loader] {
				t.Fatalf("%s, %s: grub.cfg came before the image", name, at)
			}
			if err := installESP(durable.Disk{}, dir, image("new"), conf); err != nil {
				t.Fatalf("%s, %s: %v", name, at, err)
			}
			if !maps.Equal(contents(t, dir), new) {
				t.Fatalf("%s, %s: the next install did not complete it", name, at)
			}
		})
	}
}

// contents is a tree without its times, and without names of files that are not whole.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name := range tree(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}
