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
	will := []string{`the boot order becomes 0000, and was 0001,0000`, `the boot entry Boot0001 "Griddle" is deleted`,
		"the boot record: the program of before, in its first 440 bytes; the table stays",
		"EFI/Microsoft/Boot/bootmgfw.efi of the EFI system partition comes back",
		"griddle of the EFI system partition is deleted: it is Griddle's",
		"EFI/griddle of the EFI system partition is deleted: it is Griddle's"}
	stays := []string{"files of the EFI system partition that have changed since: 1"}
	want := []string{"the boot entries of the firmware", "the boot record",
		"EFI/Microsoft/Boot/bootmgfw.efi of the EFI system partition", "GRUB is deleted"}
	for i := range 2 {
		c := look(t, dir, m)
		if i == 0 && !slices.Equal(c.Will, will) || i == 1 && len(c.Will) > 0 || !slices.Equal(c.Stays, stays) {
			t.Errorf("it will change %q, and %q stays; want %q, %q", c.Will, c.Stays, will, stays)
		}
		done, err := c.Restore()
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

// look is Look, and changes nothing.
func look(t *testing.T, dir string, m Machine) *Change {
	t.Helper()
	before := tree(t, m.ESP)
	c, err := Look(dir, m)
	if err != nil || !maps.Equal(tree(t, m.ESP), before) {
		t.Fatalf("Look: %v, and it changed the partition: %v", err, !maps.Equal(tree(t, m.ESP), before))
	}
	return c
}

// What was kept of another disk or machine does not count, nor does what started nothing.
func TestOthers(t *testing.T) {
	const here, there = "4c4c4544-0042-3510-8052-b4c04f4e4e32", "4c4c4544-0042-3510-8052-b4c04f4e4e33"
	drive := Drive{Serial: "S1", WWN: "eui.1", Size: 2 << 20}
	empty := func(m *Machine) { m.Vars = nvram.In(t.TempDir()) }
	nothing := func(m *Machine) { m.ESP, m.Disk = t.TempDir(), make(memory, 2<<20) }
	others := func(m *Machine) { m.Disk.(memory)[100] ^= 1; m.Disk.(memory)[0] = 0xfa }
	for name, c := range map[string]struct {
		save  func(m *Machine) // changes what is kept, and of what
		look  func(m *Machine)
		err   error
		stays string // what is in Stays
	}{
		"the same":       {stays: ""},
		"another serial": {look: func(m *Machine) { m.Drive.Serial = "S2" }, err: ErrOther},
		"another WWN":    {look: func(m *Machine) { m.Drive.WWN = "eui.2" }, err: ErrOther},
		"another size":   {look: func(m *Machine) { m.Drive.Size++ }, err: ErrOther},
		"a drive that does not say its serial any more": {look: func(m *Machine) { m.Drive = Drive{Size: 2 << 20} }},
		"kept by an earlier version":                    {save: func(m *Machine) { m.Drive, m.UUID = Drive{}, "" }},
		"kept by one, of another machine": {save: func(m *Machine) { m.Drive, m.UUID = Drive{}, "" }, look: empty,
			stays: "it has none of those that were kept"},
		"another machine": {stays: "are of another machine",
			look: func(m *Machine) { m.UUID = there }},
		"settings of the firmware that were lost": {look: empty},
		"nothing on UEFI":                         {save: func(m *Machine) { nothing(m); empty(m) }, err: ErrNothing},
		"nothing on a BIOS": {save: func(m *Machine) { nothing(m); m.Vars = nil },
			look: func(m *Machine) { m.Vars = nil }, err: ErrNothing},
		"a boot record alone": {save: func(m *Machine) { m.ESP, m.Vars = t.TempDir(), nil },
			look: func(m *Machine) { m.Vars = nil }},
		"a boot record of others since": {look: others,
			stays: "another program changed it since"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, _, _ := windows(t)
			m.Drive, m.UUID = drive, here
			before, dir := m, filepath.Join(t.TempDir(), "former")
			if c.save != nil {
				c.save(&before)
			}
			if err := Save(dir, before); err != nil {
				t.Fatal(err)
			}
			install(t, m)
			if c.look != nil {
				c.look(&m)
			}
			got, err := Look(dir, m)
			if !errors.Is(err, c.err) {
				t.Fatalf("Look = %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			stays := strings.Join(got.Stays, "; ")
			if c.stays == "" && stays != "" || !strings.Contains(stays, c.stays) {
				t.Errorf("%q stays, want %q", stays, c.stays)
			}
			for range 2 {
				if _, err := got.Restore(); err != nil {
					t.Fatal(err)
				}
				if got = look(t, dir, m); len(got.Will) > 0 {
					t.Errorf("afterwards it would change %q", got.Will)
				}
			}
		})
	}
	if _, err := Look(filepath.Join(t.TempDir(), "former"), Machine{}); !errors.Is(err, ErrNone) {
		t.Errorf("Look without a folder = %v", err)
	}
}

// Tables are kept as they are, and a list of an earlier version is read.
func TestTables(t *testing.T) {
	dir, esp := filepath.Join(t.TempDir(), "former"), t.TempDir()
	plant(t, esp, "EFI/a/b.efi")
	if err := Save(dir, Machine{ESP: esp, Tables: [][]byte{[]byte("one"), []byte("two")}}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, dir); got["table-1.json"] != "one" || got["table-2.json"] != "two" {
		t.Errorf("there is %q", got)
	}
}

// A machine whose firmware started nothing of others by default has our image there, which goes too.
func TestRestoreFallback(t *testing.T) {
	esp, dir := t.TempDir(), filepath.Join(t.TempDir(), "former")
	m := Machine{ESP: esp}
	plant(t, esp, "EFI/Microsoft/Boot/bootmgfw.efi")
	before := tree(t, esp)
	if err := errors.Join(Save(dir, m), bootloader.InstallESP(esp, images, conf)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(esp, bootloader.Fallback)); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, dir, m).Restore(); err != nil || !maps.Equal(tree(t, esp), before) {
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
		if c, err := Look(dir, m); err == nil {
			t.Errorf("%s: Look = %q", name, c.Will)
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
