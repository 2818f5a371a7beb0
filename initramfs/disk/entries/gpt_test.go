package entries

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/uuid"

	"griddle/initramfs/disk/content"
)

// crafted is a GPT as no program of ours makes it: bytes of which we know nothing are everywhere that the specification
// leaves room for some.
type crafted struct {
	sector, sectors int64
	count, each     int64
	length          int64 // of the headers
	array           int64 // sector of the primary one
}

// threeParts are the partitions of a crafted disk: number, first and last sector of 4096 bytes, type and name.
var threeParts = []struct {
	number, first, last int64
	kind, name          string
}{
	{1, 256, 511, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system partition"},
	{2, 512, 1023, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Basic data partition"},
	{4, 1536, 1791, "de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Wiederherstellung \u00e4\U0001f4be"},
}

// disk makes such a disk of 8 MiB, full of noise.
func (c crafted) disk() []byte {
	b := noise(8 * mib)
	c.sectors = int64(len(b)) / c.sector
	clear(b[446:510])
	b[446+4], b[510], b[511] = 0xee, 0x55, 0xaa
	le.PutUint32(b[446+8:], 1)
	le.PutUint32(b[446+12:], uint32(c.sectors-1))
	size := (c.count*c.each + c.sector - 1) / c.sector
	array := noise(size * c.sector)
	for n := range c.count {
		clear(array[n*c.each : n*c.each+16]) // unused, with noise behind it
	}
	for _, p := range threeParts {
		e := array[(p.number-1)*c.each:]
		kind := swapped(uuid.MustParse(p.kind))
		copy(e, kind[:])
		le.PutUint64(e[32:], uint64(p.first*4096/c.sector))
		le.PutUint64(e[40:], uint64((p.last+1)*4096/c.sector-1))
		name := e[56:128]
		at := 0
		for _, w := range utf16.Encode([]rune(p.name)) {
			le.PutUint16(name[at:], w)
			at += 2
		}
		le.PutUint16(name[at:], 0) // and noise behind the end of the name
	}
	header := noise(c.sector)
	copy(header, "EFI PART\x00\x00\x01\x00")
	le.PutUint32(header[12:], uint32(c.length))
	le.PutUint64(header[40:], uint64(64*4096/c.sector))
	last := c.sectors - 1
	le.PutUint64(header[48:], uint64(last-64*4096/c.sector))
	le.PutUint32(header[80:], uint32(c.count))
	le.PutUint32(header[84:], uint32(c.each))
	le.PutUint32(header[88:], crc32.ChecksumIEEE(array[:c.count*c.each]))
	for _, copyOf := range [][3]int64{{1, last, c.array}, {last, 1, last - size}} {
		h := bytes.Clone(header)
		le.PutUint64(h[24:], uint64(copyOf[0]))
		le.PutUint64(h[32:], uint64(copyOf[1]))
		le.PutUint64(h[72:], uint64(copyOf[2]))
		h[len(h)-1] = byte(copyOf[0]) // what is reserved may differ
		clear(h[16:20])
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:c.length]))
		copy(b[copyOf[0]*c.sector:], h)
		copy(b[copyOf[2]*c.sector:], array)
	}
	return b
}

var shapes = []crafted{
	{sector: 512, count: 128, each: 128, length: 92, array: 2},
	{sector: 512, count: 5, each: 128, length: 92, array: 2}, // the array ends within a sector
	{sector: 512, count: 256, each: 256, length: 512, array: 40},
	{sector: 4096, count: 128, each: 128, length: 100, array: 2},
	{sector: 4096, count: 40, each: 1024, length: 512, array: 9},
}

func (c crafted) String() string {
	return fmt.Sprintf("%d x %d bytes, sectors of %d", c.count, c.each, c.sector)
}

// TestGPTKeepsEveryByte edits tables of all shapes, and compares every byte of the disk.
func TestGPTKeepsEveryByte(t *testing.T) {
	for _, c := range shapes {
		t.Run(c.String(), func(t *testing.T) {
			before := c.disk()
			read := func(b []byte) *Table { return must(Read(onDisk(b), int64(len(b)), int(c.sector)))(t) }
			for _, edit := range []struct {
				name string
				do   func(*Table) error
				// where bytes of the entry with this number change
				number   int64
				from, to int64
			}{
				{"nothing", func(*Table) error { return nil }, 1, 0, 0},
				{"same size", func(tab *Table) error { return tab.SetSize(2, 2*mib) }, 2, 0, 0},
				{"shrink", func(tab *Table) error { return tab.SetSize(2, mib) }, 2, 40, 48},
				{"grow", func(tab *Table) error { return tab.SetSize(2, 4*mib) }, 2, 40, 48},
				{"name", func(tab *Table) error { return tab.SetType(1, "EFI system", "other") }, 1, 56, 128},
				{"type", func(tab *Table) error { return tab.SetType(4, "Linux swap", threeParts[2].name) }, 4, 0, 56},
				{"same type", func(tab *Table) error {
					return tab.SetType(4, "Windows recovery", threeParts[2].name)
				}, 4, 0, 0},
				{"add", func(tab *Table) error {
					return tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib, Type: "Linux home", Name: "griddle"})
				}, 3, 0, c.each},
			} {
				d := onDisk(before)
				tab := read(d.b)
				ok(t, edit.do(tab), tab.Write(d))
				if !d.synced {
					t.Errorf("%s: the last write was not synced", edit.name)
				}
				last := int64(len(d.b)) - c.sector
				size := (c.count*c.each + c.sector - 1) / c.sector * c.sector
				at := (edit.number - 1) * c.each
				for _, r := range differs(before, d.b) {
					inside := false
					for _, a := range [][2]int64{{c.sector + 16, c.sector + 20}, {c.sector + 88, c.sector + 92},
						{last + 16, last + 20}, {last + 88, last + 92},
						{c.array*c.sector + at + edit.from, c.array*c.sector + at + edit.to},
						{last - size + at + edit.from, last - size + at + edit.to}} {
						inside = inside || edit.to > 0 && int64(r[0]) >= a[0] && int64(r[1]) <= a[1]
					}
					if !inside {
						t.Errorf("%s changes the bytes %d to %d of the disk", edit.name, r[0], r[1])
					}
				}
				if edit.to > 0 && bytes.Equal(before, d.b) {
					t.Errorf("%s changes nothing", edit.name)
				}
				if edit.to == 0 && len(d.writes) > 0 {
					t.Errorf("%s writes at %v", edit.name, d.writes)
				}
				again := read(d.b)
				if got, want := fmt.Sprint(again.Entries()), fmt.Sprint(tab.Entries()); got != want {
					t.Errorf("%s: the disk has %s, want %s", edit.name, got, want)
				}
				if tab.ID() != content.ReadTable(onDisk(before), int64(len(before)), int(c.sector)).GUID {
					t.Errorf("the ID is %s", tab.ID())
				}
			}
		})
	}
}

// TestAttributes has what becomes of attributes when the type changes.
func TestAttributes(t *testing.T) {
	c := shapes[0]
	b := c.disk()
	tab := must(Read(onDisk(b), int64(len(b)), 512))(t)
	const all = 1<<64 - 1
	for _, e := range []struct{ had, kind, want uint64 }{{all, 0, all}, {all, 1, 1<<48 - 1 - 2}, {5, 1, 5}} {
		le.PutUint64(tab.slot(2)[48:], e.had)
		was := bytes.Clone(tab.slot(2)[16:32])
		ok(t, tab.SetType(2, []string{"Microsoft basic data", "Linux filesystem"}[e.kind], "x"))
		if got := le.Uint64(tab.slot(2)[48:]); got != e.want || !bytes.Equal(was, tab.slot(2)[16:32]) {
			t.Errorf("the attributes %x became %x, want %x", e.had, got, e.want)
		}
		ok(t, tab.SetType(2, "Microsoft basic data", "x"))
	}
}

// TestEditsRefuse: what is asked wrongly is refused, and changes nothing.
func TestEditsRefuse(t *testing.T) {
	b := shapes[0].disk()
	tab := must(Read(onDisk(b), int64(len(b)), 512))(t)
	first := tab.Saved()
	id := tab.Entries()[0].UUID
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"size 0", tab.SetSize(2, 0), "not a number of sectors"},
		{"size", tab.SetSize(2, 1000), "not a number of sectors"},
		{"negative", tab.SetSize(2, -512), "not a number of sectors"},
		{"overlap", tab.SetSize(2, 4*mib+512), "partitions 2 and 4 overlap"},
		{"end", tab.SetSize(4, 2*mib), "partitions can be from"},
		{"huge", tab.SetSize(4, 1<<62), "partitions can be from"},
		{"missing", tab.SetSize(3, mib), "there is no such partition"},
		{"number", tab.SetSize(-1, mib), "there is no such partition"},
		{"far", tab.SetSize(1<<40, mib), "there is no such partition"},
		{"type", tab.SetType(2, "Linux", ""), `a GPT has no type "Linux"`},
		{"unused", tab.SetType(2, "00000000-0000-0000-0000-000000000000", ""), "a GPT has no type"},
		{"name", tab.SetType(2, "Linux swap", strings.Repeat("x", 37)), "at most 36 characters"},
		{"units", tab.SetType(2, "Linux swap", strings.Repeat("\U0001f4be", 19)), "at most 36 characters"},
		{"control", tab.SetType(2, "Linux swap", "a\x00b"), "control character"},
		{"space", tab.SetType(2, "Linux swap", "a "), "no space at an end"},
		{"used", tab.Add(Entry{Number: 2, Start: 4 * mib, Size: mib, Type: "Linux swap"}), "the entry is in use"},
		{"129", tab.Add(Entry{Number: 129, Start: 4 * mib, Size: mib, Type: "Linux swap"}), "entries 1 to 128"},
		{"0", tab.Add(Entry{Number: 0, Start: 4 * mib, Size: mib, Type: "Linux swap"}), "entries 1 to 128"},
		{"start", tab.Add(Entry{Number: 3, Start: 4*mib + 1, Size: mib, Type: "Linux swap"}), "begins at byte"},
		{"before", tab.Add(Entry{Number: 3, Start: 0, Size: mib, Type: "Linux swap"}), "partitions can be from"},
		{"negative start", tab.Add(Entry{Number: 3, Start: -mib, Size: mib, Type: "Linux swap"}), "begins at byte"},
		{"over", tab.Add(Entry{Number: 3, Start: 5 * mib, Size: 2 * mib, Type: "Linux swap"}), "overlap"},
		{"inside", tab.Add(Entry{Number: 3, Start: 3 * mib, Size: 512, Type: "Linux swap"}), "overlap"},
		{"active", tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib, Type: "Linux swap", Active: true}),
			"active flag"},
		{"no type", tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib}), "a GPT has no type"},
		{"GUID", tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib, Type: "Linux swap", UUID: "x"}), "not the GUID"},
		{"same GUID", tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib, Type: "Linux swap", UUID: id}),
			"another partition has the GUID"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, c.err, c.want)
		}
		if !bytes.Equal(first, tab.Saved()) {
			t.Fatalf("%s changed the table", c.name)
		}
	}
	ok(t, tab.Add(Entry{Number: 3, Start: 4 * mib, Size: 2 * mib, Type: "Linux swap"}),
		tab.SetType(3, "024dee41-33e7-11d3-9d69-0008c781f39f", strings.Repeat("x", 36)))
	if e := tab.Entries()[2]; e.Type != "024dee41-33e7-11d3-9d69-0008c781f39f" || len(e.Name) != 36 || e.UUID == "" {
		t.Errorf("entry 3 is %+v", e)
	}
}

// TestReadRefusesGPT: what is damaged or unknown is refused.
func TestReadRefusesGPT(t *testing.T) {
	const last = 8*mib - 512
	seal := func(b []byte, head, array int64) {
		n := int64(le.Uint32(b[head+80:])) * int64(le.Uint32(b[head+84:]))
		if n < mib {
			le.PutUint32(b[head+88:], crc32.ChecksumIEEE(b[array:array+n]))
		}
		clear(b[head+16 : head+20])
		le.PutUint32(b[head+16:], crc32.ChecksumIEEE(b[head:head+92]))
	}
	for _, c := range []struct {
		name   string
		damage func(b []byte)
		seal   bool
		want   string
	}{
		{"hybrid", func(b []byte) { b[446+16+4], b[446+16+8], b[446+16+12] = 7, 1, 1 }, false, "hybrid"},
		{"no MBR", func(b []byte) { clear(b[440:512]) }, false, "protective MBR"},
		{"primary", func(b []byte) { b[512+30]++ }, false, "damaged"},
		{"array", func(b []byte) { b[1024+40]++ }, false, "damaged"},
		{"backup", func(b []byte) { b[last+60]++ }, false, "damaged"},
		{"backup array", func(b []byte) { b[last-1000]++ }, false, "damaged"},
		{"copies", func(b []byte) { b[1024+56]++; seal(b, 512, 1024) }, false, "differ"},
		{"revision", func(b []byte) { b[512+10]++; b[last+10]++ }, true, "revision"},
		{"sizes", func(b []byte) {
			for _, at := range []int{512, last} {
				le.PutUint32(b[at+80:], 64)
				le.PutUint32(b[at+84:], 192)
			}
		}, true, "entries of 192 bytes"},
		{"usable", func(b []byte) { le.PutUint64(b[512+40:], 20); le.PutUint64(b[last+40:], 20) }, true, "arrays"},
		{"other", func(b []byte) { le.PutUint64(b[512+32:], 5) }, true, "do not name each other"},
		{"far", func(b []byte) { le.PutUint64(b[512+48:], 1<<63) }, true, "names sector"},
		{"overlap", func(b []byte) {
			for _, at := range []int{1024, last - 128*128} {
				le.PutUint64(b[at+40:], 4096)
			}
		}, true, "partitions 1 and 2 overlap"},
		{"reversed", func(b []byte) {
			for _, at := range []int{1024, last - 128*128} {
				le.PutUint64(b[at+40:], 1)
			}
		}, true, "partitions can be from"},
		{"outside", func(b []byte) {
			for _, at := range []int{1024, last - 128*128} {
				le.PutUint64(b[at+32:], 1<<63)
			}
		}, true, "partitions can be from"},
		{"nothing", func(b []byte) { clear(b) }, false, "no partition table"},
		{"another", func(b []byte) { clear(b); copy(b, "\x0b\xe5\xa9\x41") }, false, "kind sgi"},
	} {
		b := shapes[0].disk()
		if c.damage(b); c.seal {
			seal(b, 512, 1024)
			seal(b, last, last-128*128)
		}
		if _, err := Read(onDisk(b), int64(len(b)), 512); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	b := shapes[0].disk()
	for _, c := range []struct {
		size   int64
		sector int
	}{{8 * mib, 520}, {8 * mib, 0}, {8 * mib, 4096}, {8*mib - 512, 512}, {9 * mib, 512}, {100, 512}, {1 << 61, 512}} {
		if _, err := Read(onDisk(b), c.size, c.sector); err == nil {
			t.Errorf("Read of %d bytes with sectors of %d = nil, want an error", c.size, c.sector)
		}
	}
}
