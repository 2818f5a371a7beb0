package nvram

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The devices that entries name. A path with several is their nodes in a row.
var (
	pci     = node{typeHardware, 1, []byte{0, 2}}
	sata    = node{typeMessaging, 18, make([]byte, 6)}
	usb     = node{typeMessaging, 5, make([]byte, 2)}
	mac     = node{typeMessaging, 11, make([]byte, 33)}
	ipv4    = node{typeMessaging, 12, make([]byte, 23)}
	uri     = node{typeMessaging, 24, []byte("http://x")}
	cd      = node{typeMedia, mediaCD, make([]byte, 20)}
	program = node{typeMedia, firmwareFile, make([]byte, 16)}
	windows = node{typeMedia, mediaDisk, append(make([]byte, 36), formatGPT, formatGPT)}
	file    = node{typeMedia, mediaFile, text(`\EFI\Microsoft\Boot\bootmgfw.efi`)}
)

// entry is one of the firmware.
func entry(number uint16, title string, path ...node) Entry {
	o := Option{Active: true, Description: title, Optional: []byte("kept " + title)}
	for _, n := range append(path, node{typeEnd, endOfAll, nil}) {
		o.Path = append(o.Path, n.encode()...)
	}
	return Entry{number, attributes, o.bytes()}
}

// lab is a machine as they come: the network first, Windows, its disk, a stick, a DVD, the setup.
func lab() State {
	return State{
		Order: []uint16{6, 7, 3, 0, 1, 2, 5, 9},
		Entries: []Entry{
			entry(0, "Windows Boot Manager", windows, file),
			entry(1, "UEFI: disk", pci, sata),
			entry(2, "UEFI: stick", pci, usb),
			entry(3, "Setup", program),
			entry(5, "UEFI: DVD", pci, sata, cd),
			entry(6, "UEFI: PXE IPv4", pci, mac, ipv4),
			entry(7, "UEFI: HTTP", pci, mac, ipv4, uri),
			entry(8, "not in the order", windows, file),
			// 9 is in the order, and its disk is not plugged in
		},
	}
}

// firmware is a folder with these variables.
func firmware(t *testing.T, s State) (*Vars, string) {
	t.Helper()
	dir := t.TempDir()
	v := In(dir)
	for _, e := range s.Entries {
		if err := v.store.set(name(e.Number), e.Attributes, e.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.setOrder(nil, s.Order); err != nil {
		t.Fatal(err)
	}
	return v, dir
}

// files are all variables in a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range all {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

var griddle = Loader{Title: "Griddle", File: "EFI/griddle/grubx64.efi", Partition: 1, Start: 1 << 20, Size: 100 << 20,
	SectorSize: 512, GUID: "7d13f5c0-8f5e-4f0c-9e0c-0a1b2c3d4e5f"}

// An entry comes before those of disks and behind the network, and all others keep their order. Added again it stays.
func TestAdd(t *testing.T) {
	for _, c := range []struct {
		name        string
		order, want []uint16
	}{
		{"the network first", []uint16{6, 7, 0, 1}, []uint16{6, 7, 4, 0, 1}},
		{"Windows first", []uint16{0, 6, 7}, []uint16{4, 0, 6, 7}},
		{"a disk without an entry of its own", []uint16{2, 6, 1, 0}, []uint16{2, 6, 4, 1, 0}},
		{"all of a machine", lab().Order, []uint16{6, 7, 3, 4, 0, 1, 2, 5, 9}},
		{"one that is not plugged in first", []uint16{9, 6, 0}, []uint16{9, 6, 4, 0}},
		{"no disk", []uint16{6, 3}, []uint16{6, 3, 4}},
		{"no order", nil, []uint16{4}},
	} {
		s := lab()
		s.Order = c.order
		v, dir := firmware(t, s)
		before := files(t, dir)
		for range 2 {
			n, err := v.Add(griddle)
			if err != nil || n != 4 {
				t.Fatalf("%s: Add = %d, %v", c.name, n, err)
			}
			now, err := v.State()
			if err != nil || !slices.Equal(now.Order, c.want) {
				t.Errorf("%s: the order is %v, %v, want %v", c.name, now.Order, err, c.want)
			}
		}
		for name, b := range files(t, dir) {
			if !strings.HasPrefix(name, "Boot0004-") && !strings.HasPrefix(name, "BootOrder") && before[name] != b {
				t.Errorf("%s: %s has changed", c.name, name)
			}
		}
		// People put it elsewhere, and the partition has another number now.
		moved := append(slices.Clone(c.order), 4)
		if err := v.setOrder(c.want, moved); err != nil {
			t.Fatal(err)
		}
		l := griddle
		l.Partition, l.GUID = 3, strings.ToUpper(l.GUID)
		if n, err := v.Add(l); n != 4 || err != nil {
			t.Errorf("%s: Add again = %d, %v", c.name, n, err)
		}
		if now, err := v.State(); err != nil || !slices.Equal(now.Order, moved) {
			t.Errorf("%s: the order of people became %v, %v, want %v", c.name, now.Order, err, moved)
		}
		// Another disk has an entry of its own.
		l.GUID = "00000000-8f5e-4f0c-9e0c-0a1b2c3d4e5f"
		if n, err := v.Add(l); n != 10 && n != 9 || err != nil {
			t.Errorf("%s: Add for another disk = %d, %v", c.name, n, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	v, dir := firmware(t, lab())
	before := files(t, dir)
	for name, spoil := range map[string]func(*Loader){
		"no title":       func(l *Loader) { l.Title = "" },
		"no file":        func(l *Loader) { l.File = "" },
		"no partition":   func(l *Loader) { l.Partition = 0 },
		"half a sector":  func(l *Loader) { l.Start += 256 },
		"no sectors":     func(l *Loader) { l.SectorSize = 0 },
		"no GUID":        func(l *Loader) { l.GUID = "" },
		"a GUID and MBR": func(l *Loader) { l.Signature = 1 },
		"another GUID":   func(l *Loader) { l.GUID = "x" },
	} {
		l := griddle
		spoil(&l)
		if n, err := v.Add(l); err == nil {
			t.Errorf("%s: Add = %d", name, n)
		}
	}
	if !reflect.DeepEqual(files(t, dir), before) {
		t.Error("variables have changed")
	}
	if err := os.WriteFile(filepath.Join(dir, "BootOrder-"+global), []byte("\x07\x00\x00\x00abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	before = files(t, dir)
	if _, err := v.Add(griddle); err == nil || !reflect.DeepEqual(files(t, dir), before) {
		t.Errorf("with a BootOrder of 3 bytes: %v", err)
	}
}

// An entry that the firmware does not give keeps its number, and nothing follows what is not a variable.
func TestUnreadable(t *testing.T) {
	v, dir := firmware(t, lab())
	if err := errors.Join(os.WriteFile(filepath.Join(dir, name(4)+"-"+global), make([]byte, maxValue+5), 0o644),
		os.Symlink("/etc/passwd", filepath.Join(dir, name(10)+"-"+global)),
		os.WriteFile(filepath.Join(dir, name(11)+"-"+global), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "Boot00g0-"+global), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "Boot000a-"+global), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	n, err := v.Add(griddle)
	if err != nil || n != 11 {
		t.Errorf("Add = %d, %v, want 11", n, err)
	}
	if s, err := v.State(); err != nil || !slices.Equal(s.Unread, []uint16{4, 10}) {
		t.Errorf("State = %v, %v", s.Unread, err)
	}
}

// Restore brings back what was, also when much has happened since, and as often as it is called.
func TestRestore(t *testing.T) {
	v, dir := firmware(t, lab())
	before := files(t, dir)
	kept, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	kept = State{}
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Add(griddle); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.Restore(kept, griddle.File); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(files(t, dir), before) {
			t.Fatalf("what is there is not what was: %v", files(t, dir))
		}
	}
	// The firmware gives the number of Windows to a new stick; an entry is deleted; people set an order.
	if _, err := v.Add(griddle); err != nil {
		t.Fatal(err)
	}
	stick := entry(0, "UEFI: new stick", pci, usb)
	moved := Entry{20, attributes, kept.entry(0).Data}
	if err := errors.Join(v.setEntry(moved), v.setEntry(stick), v.store.remove(name(5)),
		v.setOrder([]uint16{0}, []uint16{0, 4, 20, 6})); err != nil {
		t.Fatal(err)
	}
	if err := v.Restore(kept, griddle.File); err != nil {
		t.Fatal(err)
	}
	now, err := v.State()
	if err != nil || !slices.Equal(now.Order, []uint16{6, 7, 3, 20, 1, 2, 5, 9, 0}) || now.entry(4) != nil ||
		!bytes.Equal(now.entry(5).Data, kept.entry(5).Data) || !bytes.Equal(now.entry(0).Data, stick.Data) {
		t.Errorf("the order is %v, %v, with the entries %v", now.Order, err, now.Entries)
	}
	for name, spoil := range map[string]func(*State){
		"twice the same": func(s *State) { s.Entries = append(s.Entries, s.Entries[0]) },
		"too large":      func(s *State) { s.Entries[0].Data = make([]byte, maxValue+1) },
		"attributes":     func(s *State) { s.Entries[0].Attributes = 0x20 },
	} {
		s := lab()
		spoil(&s)
		if err := v.Restore(s, griddle.File); err == nil {
			t.Errorf("%s: Restore took it", name)
		}
	}
}

// cut is a store whose calls fail from one on.
type cut struct {
	store
	left int
}

func (c *cut) step() error {
	if c.left--; c.left < 0 {
		return syscall.ENOSPC
	}
	return nil
}

func (c *cut) set(name string, a uint32, b []byte) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.store.set(name, a, b)
}

func (c *cut) remove(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.store.remove(name)
}

// A power cut after each write: the order is old or new, names what is there, and a second call completes it.
func TestCut(t *testing.T) {
	for _, restore := range []bool{false, true} {
		for left := range 4 {
			v, dir := firmware(t, lab())
			kept, err := v.State()
			if err != nil {
				t.Fatal(err)
			}
			do := func(v *Vars) error { _, err := v.Add(griddle); return err }
			if restore {
				if err := errors.Join(do(v), v.store.remove(name(5))); err != nil {
					t.Fatal(err)
				}
				do = func(v *Vars) error { return v.Restore(kept, griddle.File) }
			}
			old, err := v.State()
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := firmware(t, old)
			if err := do(whole); err != nil {
				t.Fatal(err)
			}
			want, err := whole.State()
			if err != nil {
				t.Fatal(err)
			}
			if err := do(&Vars{&cut{v.store, left}}); left < 2 && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("cut at %d: %v", left, err)
			}
			now, err := v.State()
			if err != nil || !slices.Equal(now.Order, old.Order) && !slices.Equal(now.Order, want.Order) {
				t.Errorf("cut at %d: the order is %v, %v", left, now.Order, err)
			}
			for _, n := range now.Order {
				if now.entry(n) == nil && n != 9 && n != 5 {
					t.Errorf("cut at %d: the order names %d, which is missing", left, n)
				}
			}
			if err := do(v); err != nil {
				t.Fatal(err)
			}
			if now, err := v.State(); err != nil || !reflect.DeepEqual(now, want) {
				t.Errorf("cut at %d: then %+v, %v, want %+v (%s)", left, now, err, want, dir)
			}
		}
	}
}

// Only what starts the program from the partition by one of the titles is deleted. A power cut between leaves an order
// that is old or new, and the next call completes it.
func TestRemove(t *testing.T) {
	of := func(l Loader, title, file string) Loader { l.Title, l.File = title, file; return l }
	same, another := griddle, griddle
	same.Partition, same.GUID = 7, strings.ToUpper(same.GUID)
	another.GUID = "00000000-8f5e-4f0c-9e0c-0a1b2c3d4e5f"
	for left := range 4 {
		v, dir := firmware(t, lab())
		numbers := map[string]uint16{}
		for name, l := range map[string]Loader{"ours": griddle, "others": another,
			"theirs": of(griddle, "UEFI OS", "EFI/theirs/x.efi")} {
			n, err := v.Add(l)
			if err != nil {
				t.Fatal(err)
			}
			numbers[name] = n
		}
		old, err := v.State()
		if err != nil {
			t.Fatal(err)
		}
		before := files(t, dir)
		if _, others, err := v.Remove(same, "Another"); err != nil || len(others) != 2 {
			t.Errorf("Remove by another title leaves %v, %v", others, err)
		}
		if now := files(t, dir); !reflect.DeepEqual(now, before) {
			t.Errorf("Remove by another title changed %v to %v", before, now)
		}
		_, _, err = (&Vars{&cut{v.store, left}}).Remove(same, "Other", "Griddle")
		if done := left >= 2; done != (err == nil) {
			t.Errorf("cut at %d: Remove = %v", left, err)
		}
		want := slices.DeleteFunc(slices.Clone(old.Order), func(n uint16) bool { return n == numbers["ours"] })
		if now, err := v.State(); err != nil || !slices.Equal(now.Order, old.Order) && !slices.Equal(now.Order, want) {
			t.Errorf("cut at %d: the order is %v, %v", left, now.Order, err)
		}
		if _, _, err := v.Remove(same, "Griddle"); err != nil {
			t.Fatal(err)
		}
		if now, err := v.State(); err != nil || !slices.Equal(now.Order, want) || now.has(numbers["ours"]) {
			t.Errorf("then the order is %v, %v, want %v", now.Order, err, want)
		}
		for file, b := range files(t, dir) {
			if !strings.HasPrefix(file, "BootOrder") && before[file] != b {
				t.Errorf("%s has changed", file)
			}
		}
		if n := len(files(t, dir)); n != len(before)-1 {
			t.Errorf("%d variables are left of %d", n, len(before))
		}
	}
	v, _ := firmware(t, lab())
	if _, _, err := v.Remove(Loader{Title: "x", File: "y"}); err == nil {
		t.Error("a partition that cannot be was looked for")
	}
}

// This machine has variables or says that it has none.
func TestOpen(t *testing.T) {
	_, missing := os.Stat("/sys/firmware/efi")
	v, err := Open()
	if missing != nil {
		if !errors.Is(err, ErrNone) {
			t.Errorf("Open without UEFI = %v, want ErrNone", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.State(); err != nil {
		t.Error(err)
	}
}

// efibootmgr reads what is written, and what it writes is read and used.
func TestEfibootmgr(t *testing.T) {
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("efibootmgr", args...)
		cmd.Env = append(os.Environ(), "EFIVARFS_PATH="+dir+"/", "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("efibootmgr %v (Debian package efibootmgr, run make deps): %v: %s", args, err, out)
		}
		return string(out)
	}
	v, dir := firmware(t, lab())
	mbr := griddle
	mbr.GUID, mbr.Signature, mbr.Title = "", 0xcafe1234, "Griddle on an MBR"
	for _, l := range []Loader{griddle, mbr} {
		if _, err := v.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	got := run(dir, "-v")
	for _, want := range []string{
		"BootOrder: 0006,0007,0003,000A,0004,0000,0001,0002,0005,0009",
		"Boot0004* Griddle\tHD(1,GPT," + griddle.GUID + `,0x800,0x32000)/File(\EFI\griddle\grubx64.efi)`,
		`Boot000A* Griddle on an MBR	HD(1,MBR,0xcafe1234,0x800,0x32000)/File(\EFI\griddle\grubx64.efi)`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("efibootmgr says\n%s\nwant %q", got, want)
		}
	}
	run(dir, "--bootorder", "4,A,6,7,3,0,1,2,5,8", "--quiet")
	if s, err := v.State(); err != nil || !slices.Equal(s.Order, []uint16{4, 10, 6, 7, 3, 0, 1, 2, 5, 8}) {
		t.Errorf("after efibootmgr the order is %v, %v", s.Order, err)
	}
}

// memory is a store: one on a disk is slow.
type memory map[string][]byte

func (m memory) entries() ([]uint16, error) {
	var out []uint16
	for file := range m {
		if n, ok := number(file + "-" + global); ok {
			out = append(out, n)
		}
	}
	return out, nil
}

func (m memory) get(name string) (uint32, []byte, error) {
	b, ok := m[name]
	if !ok {
		return 0, nil, errMissing
	}
	return attributes, bytes.Clone(b), nil
}

func (m memory) set(name string, _ uint32, b []byte) error { m[name] = bytes.Clone(b); return nil }

func (m memory) remove(name string) error { delete(m, name); return nil }

// Whatever the firmware says, nothing fails in another way than by an error, and all others stay as they are.
func FuzzAdd(f *testing.F) {
	for _, e := range lab().Entries {
		f.Add(e.Data, []byte{1, 0, 0, 0})
	}
	f.Add([]byte{}, []byte{1})
	f.Add(binary.LittleEndian.AppendUint32(nil, 1), []byte{1, 0, 1, 0, 2, 0})
	f.Add([]byte{1, 0, 0, 0, 255, 255, 0, 0}, []byte{})
	f.Add([]byte{1, 0, 0, 0, 8, 0, 0, 0, 4, 1, 0, 0, 4, 4, 3, 0}, []byte{2, 0})
	f.Fuzz(func(t *testing.T, data, order []byte) {
		if len(data) > maxValue || len(order) > 1000 {
			return
		}
		v := &Vars{memory{name(1): data, "BootOrder": order}}
		if o, err := ParseOption(data); err == nil {
			if again, err := ParseOption(o.bytes()); err != nil || !reflect.DeepEqual(again, o) {
				t.Errorf("%+v became %+v, %v", o, again, err)
			}
		}
		before, err := v.State()
		if err != nil {
			if len(order)%2 == 0 {
				t.Error(err)
			}
			return
		}
		n, err := v.Add(griddle)
		if err != nil {
			t.Fatal(err)
		}
		after, err := v.State()
		if err != nil || n == 1 && !before.Entries[0].is(mustOption(t)) {
			t.Errorf("Add = %d, %v", n, err)
		}
		rest := slices.DeleteFunc(slices.Clone(after.Order), func(o uint16) bool { return o == n })
		mine := slices.DeleteFunc(slices.Clone(before.Order), func(o uint16) bool { return o == n })
		if n != 1 && (!slices.Equal(rest, mine) || !reflect.DeepEqual(*after.entry(1), before.Entries[0])) {
			t.Errorf("the order %v became %v", before.Order, after.Order)
		}
		if err := v.Restore(before, griddle.File); err != nil {
			t.Fatal(err)
		}
		if now, err := v.State(); err != nil || n != 1 && fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("Restore left %v, %v, want %v", now, err, before)
		}
	})
}

func mustOption(t *testing.T) Option {
	t.Helper()
	o, err := griddle.option()
	if err != nil {
		t.Fatal(err)
	}
	return o
}
