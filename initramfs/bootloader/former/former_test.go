package former

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

	"griddle/initramfs/bootloader"
	"griddle/initramfs/nvram"
)

// memory is a disk.
type memory []byte

func (m memory) ReadAt(b []byte, at int64) (int, error)  { return copy(b, m[at:]), nil }
func (m memory) WriteAt(b []byte, at int64) (int, error) { return copy(m[at:], b), nil }

// tree is all files below a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte("was "+name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// images are a GRUB that is small.
var images = fstest.MapFS{
	bootloader.EFIImage: {Data: []byte("search.fs_label GRIDDLE-ESP root $root\nset prefix=($root)/griddle\n")},
	bootloader.BootImage: {Data: append([]byte("\xeb\x63\x90"),
		append(append(make([]byte, 0x66-3), 0xeb), make([]byte, 512-0x67)...)...)},
	bootloader.CoreImage: {Data: bytes.Repeat([]byte{7}, 20<<10)},
}

var conf = bootloader.Config{ESPID: "7A3C-11F0", PoolID: "0a1b2c3d-0000-4000-8000-0123456789ab", Root: "@roots/x"}

var loader = nvram.Loader{Title: "Griddle", File: bootloader.Loader, Partition: 1, Start: 1 << 20, Size: 100 << 20,
	SectorSize: 512, GUID: "7d13f5c0-8f5e-4f0c-9e0c-0a1b2c3d4e5f"}

// windows is a machine with a Windows on an MBR and, as no machine has, on UEFI too.
func windows(t *testing.T) (m Machine, esp, vars string, disk memory) {
	t.Helper()
	esp, vars, disk = t.TempDir(), t.TempDir(), bytes.Repeat([]byte{9}, 2<<20)
	plant(t, esp, "EFI/BOOT/BOOTX64.EFI", "EFI/Microsoft/Boot/bootmgfw.efi", "EFI/Microsoft/Boot/BCD", "x.txt")
	disk[510], disk[511] = 0x55, 0xaa
	clear(disk[100<<10 : 1<<20])
	v := nvram.In(vars)
	other := loader
	other.Title, other.File = "Windows Boot Manager", "EFI/Microsoft/Boot/bootmgfw.efi"
	if _, err := v.Add(other); err != nil {
		t.Fatal(err)
	}
	m = Machine{ESP: esp, Vars: v, Disk: disk, BIOS: bootloader.Extent{Start: 512, Size: 1<<20 - 512}}
	return m, esp, vars, disk
}

// install is what an install does to a machine.
func install(t *testing.T, m Machine) {
	t.Helper()
	_, err := m.Vars.Add(loader)
	err = errors.Join(err, bootloader.KeepRecord(m.Disk, m.BIOS, m.ESP),
		bootloader.InstallESP(m.ESP, images, conf), bootloader.InstallBIOS(m.Disk, images, m.BIOS, 512))
	if err != nil {
		t.Fatal(err)
	}
}

// After an install, and another one, everything is as it was before the first; what was lost since is there again, and
// what others changed stays.
func TestRestore(t *testing.T) {
	m, esp, vars, disk := windows(t)
	dir := filepath.Join(t.TempDir(), "former")
	espBefore, varsBefore, diskBefore := tree(t, esp), tree(t, vars), bytes.Clone(disk)
	for range 2 {
		if err := Save(dir, m); err != nil {
			t.Fatal(err)
		}
		install(t, m)
	}
	if maps.Equal(tree(t, esp), espBefore) || maps.Equal(tree(t, vars), varsBefore) || bytes.Equal(disk, diskBefore) {
		t.Fatal("the install changed nothing")
	}
	if err := errors.Join(os.Remove(filepath.Join(esp, "EFI/Microsoft/Boot/bootmgfw.efi")),
		os.WriteFile(filepath.Join(esp, "EFI/Microsoft/Boot/BCD"), []byte("newer"), 0o644)); err != nil {
		t.Fatal(err)
	}
	espBefore["EFI/Microsoft/Boot/BCD"] = "newer"
	copy(disk[440:], "a new signature and a table") // of people, meanwhile
	copy(diskBefore[440:], "a new signature and a table")
	want := []string{"the boot entries of the firmware", "the boot record",
		"EFI/Microsoft/Boot/bootmgfw.efi of the EFI system partition"}
	for i := range 2 {
		done, err := Restore(dir, m)
		if err != nil || i == 0 && !slices.Equal(done, want) {
			t.Errorf("Restore = %q, %v, want %q", done, err, want)
		}
		if now := tree(t, esp); !maps.Equal(now, espBefore) {
			t.Errorf("the EFI system partition has %q, want %q", now, espBefore)
		}
		if !maps.Equal(tree(t, vars), varsBefore) || !bytes.Equal(disk, diskBefore) {
			t.Error("the firmware or the disk is not as before")
		}
	}
}

// A machine whose firmware started nothing of others by default has our image there, which goes too.
func TestRestoreFallback(t *testing.T) {
	esp, dir := t.TempDir(), filepath.Join(t.TempDir(), "former")
	m := Machine{ESP: esp}
	plant(t, esp, "EFI/Microsoft/Boot/BCD")
	before := tree(t, esp)
	if err := errors.Join(Save(dir, m), bootloader.InstallESP(esp, images, conf)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(esp, bootloader.Fallback)); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(dir, m); err != nil || !maps.Equal(tree(t, esp), before) {
		t.Errorf("Restore: %v, and there is %q", err, tree(t, esp))
	}
}

// What a power cut left of Save is replaced, and a copy that is damaged changes nothing.
func TestDamaged(t *testing.T) {
	m, esp, vars, disk := windows(t)
	dir := filepath.Join(t.TempDir(), "former")
	plant(t, dir+".new", "esp/half")
	if err := Save(dir, m); err != nil {
		t.Fatal(err)
	}
	install(t, m)
	text, err := os.ReadFile(filepath.Join(dir, list))
	if err != nil {
		t.Fatal(err)
	}
	restore := func() { os.WriteFile(filepath.Join(dir, list), text, 0o600) }
	for name, spoil := range map[string]func() error{
		"a file": func() error {
			path := filepath.Join(dir, folder, "EFI/Microsoft/Boot/BCD")
			return os.WriteFile(path, []byte("was efi/microsoft/boot/bcd"), 0o600)
		},
		"no list":  func() error { return os.Remove(filepath.Join(dir, list)) },
		"no JSON":  func() error { return os.WriteFile(filepath.Join(dir, list), text[:len(text)/2], 0o600) },
		"a path":   func() error { return edit(dir, text, `"x.txt"`, `"../x.txt"`) },
		"ours":     func() error { return edit(dir, text, `"x.txt"`, `"Griddle/grub.cfg"`) },
		"version":  func() error { return edit(dir, text, `"version": 1`, `"version": 2`) },
		"a record": func() error { return edit(dir, text, `"record": "`, `"record": "AAAA`) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		espBefore, varsBefore, diskBefore := tree(t, esp), tree(t, vars), bytes.Clone(disk)
		if done, err := Restore(dir, m); err == nil || len(done) > 0 {
			t.Errorf("%s: Restore = %q, %v", name, done, err)
		}
		if !maps.Equal(tree(t, esp), espBefore) || !maps.Equal(tree(t, vars), varsBefore) ||
			!bytes.Equal(disk, diskBefore) {
			t.Errorf("%s: something has changed", name)
		}
		restore()
	}
}

func edit(dir string, text []byte, old, new string) error {
	if !strings.Contains(string(text), old) {
		return errors.New("there is no " + old)
	}
	return os.WriteFile(filepath.Join(dir, list), []byte(strings.Replace(string(text), old, new, 1)), 0o600)
}

// Links on the partition lead nowhere, and Save says what is too much.
func TestSaveOfOtherThings(t *testing.T) {
	esp, dir := t.TempDir(), filepath.Join(t.TempDir(), "former")
	plant(t, esp, "a")
	if err := os.Symlink("/etc/passwd", filepath.Join(esp, "b")); err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, Machine{ESP: esp}); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(tree(t, dir))); !slices.Equal(got, []string{"esp/a", "former.json"}) {
		t.Errorf("there is %q", got)
	}
	if err := os.Truncate(filepath.Join(esp, "a"), maxBytes+1); err != nil {
		t.Fatal(err)
	}
	if err := Save(dir+"2", Machine{ESP: esp}); err == nil {
		t.Error("a file that is too large was kept")
	}
}

// Whatever the list says, nothing but an error comes of it, and no path leads out of the partition.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":[{"path":"EFI/x","size":1,"sha256":"00"}],"nvram":{"order":[1]}}`))
	f.Add([]byte(`{"version":1,"files":[{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parse(b)
		for _, x := range k.Files {
			if err == nil && (!filepath.IsLocal(x.Path) || mine(x.Path)) {
				t.Errorf("the path %q was taken", x.Path)
			}
		}
	})
}
