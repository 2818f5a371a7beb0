package entries

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// mbrEntry writes an entry of an MBR into b, of which n counts from 0.
func mbrEntry(b []byte, n int, status, kind byte, first, count uint32) {
	e := b[446+16*n:]
	first64, last := usual.chs(int64(first)), usual.chs(int64(first+count)-1)
	e[0], e[4] = status, kind
	copy(e[1:], first64[:])
	copy(e[5:], last[:])
	le.PutUint32(e[8:], first)
	le.PutUint32(e[12:], count)
}

// oldDisk is a disk of 8 MiB full of noise, with an MBR: NTFS, an extended partition with two logical ones in sectors
// 8192 to 12287, and a free entry in between.
func oldDisk() []byte {
	b := noise(8 * mib)
	b[510], b[511] = 0x55, 0xaa
	clear(b[446:510])
	mbrEntry(b, 0, 0x80, 0x07, 63, 4033)
	mbrEntry(b, 2, 0, 0x0f, 8192, 4096)
	for _, l := range []struct{ at, next uint32 }{{8192, 2048}, {10240, 0}} {
		link := b[l.at*512:]
		clear(link[446:510])
		link[510], link[511] = 0x55, 0xaa
		mbrEntry(link, 0, 0, 0x83, 64, 1000)
		if l.next > 0 {
			mbrEntry(link, 1, 0, 0x05, l.next, 2048)
		}
	}
	return b
}

func TestMBRKeepsEveryByte(t *testing.T) {
	before := oldDisk()
	for _, edit := range []struct {
		name     string
		do       func(*Table) error
		from, to int    // bytes that change
		want     string // what is in bytes 446 to 478, where not all is as before
	}{
		{"nothing", func(*Table) error { return nil }, 0, 0, ""},
		{"same size", func(tab *Table) error { return tab.SetSize(1, 4033*512) }, 0, 0, ""},
		{"shrink", func(tab *Table) error { return tab.SetSize(1, 1000*512) }, 451, 462,
			"80010100071037003f000000e803000000000000000000000000000000000000"},
		{"type", func(tab *Table) error { return tab.SetType(1, "Linux filesystem", "") }, 450, 451,
			"80010100834101003f000000c10f000000000000000000000000000000000000"},
		{"add", func(tab *Table) error {
			return tab.Add(Entry{Number: 2, Start: 2 * mib, Size: mib, Type: "Linux swap"})
		}, 462, 478, "80010100074101003f000000c10f000000410200826121000010000000080000"},
	} {
		d := onDisk(before)
		tab := must(Read(d, 8*mib, 512))(t)
		ok(t, edit.do(tab), tab.Write(d))
		for _, r := range differs(before, d.b) {
			if r[0] < edit.from || r[1] > edit.to {
				t.Errorf("%s changes the bytes %d to %d", edit.name, r[0], r[1])
			}
		}
		if (edit.to > 0) == bytes.Equal(before, d.b) || len(d.writes) > 1 || !d.synced {
			t.Errorf("%s writes at %v", edit.name, d.writes)
		}
		back := must(Read(d, 8*mib, 512))(t)
		if fmt.Sprint(back.Entries()) != fmt.Sprint(tab.Entries()) || back.Kind() != MBR || len(back.now) != 3 {
			t.Errorf("%s: the disk has %v, want %v", edit.name, back.Entries(), tab.Entries())
		}
		if got := fmt.Sprintf("%x", d.b[446:478]); edit.want != "" && got != edit.want {
			t.Errorf("%s: the entries are %s, want %s", edit.name, got, edit.want)
		}
	}
	tab := must(Read(onDisk(before), 8*mib, 512))(t)
	var numbers []string
	for _, e := range tab.Entries() {
		numbers = append(numbers, fmt.Sprint(e.Number, " ", e.Start/512, " ", e.Size/512, " ", e.Type, " ", e.Active))
	}
	if got, want := strings.Join(numbers, ", "), "1 63 4033 NTFS or exFAT true, 3 8192 4096 extended false, "+
		"5 8256 1000 Linux filesystem false, 6 10304 1000 Linux filesystem false"; got != want {
		t.Errorf("the entries are %s, want %s", got, want)
	}
	if want := fmt.Sprintf("%08x", le.Uint32(before[440:])); tab.ID() != want {
		t.Errorf("the ID is %s, want %s", tab.ID(), want)
	}
}

// TestNoSignature: an MBR may have no disk signature.
func TestNoSignature(t *testing.T) {
	b := oldDisk()
	clear(b[440:444])
	if tab := must(Read(onDisk(b), 8*mib, 512))(t); tab.ID() != "" {
		t.Errorf("the ID is %s", tab.ID())
	}
}

func TestMBREditsRefuse(t *testing.T) {
	b := oldDisk()
	tab := must(Read(onDisk(b), 8*mib, 512))(t)
	first := tab.Saved()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"logical", tab.SetSize(5, mib), "logical partition"},
		{"logical type", tab.SetType(6, "Linux swap", ""), "logical partition"},
		{"extended", tab.SetSize(3, mib), "extended partition"},
		{"extended type", tab.SetType(3, "Linux swap", ""), "extended partition"},
		{"make extended", tab.SetType(1, "extended", ""), "not made"},
		{"make protective", tab.SetType(1, "GPT protective", ""), "not made"},
		{"missing", tab.SetSize(2, mib), "no such partition"},
		{"overlap", tab.SetSize(1, 4*mib), "partitions 1 and 3 overlap"},
		{"end", tab.SetSize(1, 1<<50), "would end behind sector 16383"},
		{"end of size", tab.SetSize(1, 1<<62), "would end behind"},
		{"name", tab.SetType(1, "Linux swap", "x"), "no names"},
		{"type", tab.SetType(1, "BIOS boot", ""), "an MBR has no type"},
		{"within", tab.Add(Entry{Number: 2, Start: 5 * mib, Size: 512, Type: "Linux swap"}), "overlap"},
		{"5", tab.Add(Entry{Number: 5, Start: 6 * mib, Size: mib, Type: "Linux swap"}), "entries 1 to 4"},
		{"used", tab.Add(Entry{Number: 3, Start: 6 * mib, Size: mib, Type: "Linux swap"}), "in use"},
		{"two active", tab.Add(Entry{Number: 2, Start: 6 * mib, Size: mib, Type: "Linux swap", Active: true}),
			"partition 1 is the active one"},
		{"GUID", tab.Add(Entry{Number: 2, Start: 6 * mib, Size: mib, Type: "Linux swap", UUID: "x"}), "no GUID"},
		{"far", tab.Add(Entry{Number: 2, Start: 1 << 62, Size: mib, Type: "Linux swap"}), "would end behind"},
		{"start", tab.Add(Entry{Number: 2, Start: 0, Size: mib, Type: "Linux swap"}), "partitions can be from"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, c.err, c.want)
		}
		if !bytes.Equal(first, tab.Saved()) {
			t.Fatalf("%s changed the table", c.name)
		}
	}
	// 32 bits of sectors reach 2 TiB.
	large := must(New(MBR, 3<<40, 512))(t)
	if err := large.Add(Entry{Number: 1, Start: mib, Size: 2 << 40, Type: "Linux filesystem"}); err == nil {
		t.Error("a partition beyond 2 TiB was added")
	}
	ok(t, large.Add(Entry{Number: 1, Start: mib, Size: 2<<40 - mib, Type: "Linux filesystem", Active: true}))
	if got, want := fmt.Sprintf("%x", large.slot(1)), "8020210083feffff0008000000f8ffff"; got != want {
		t.Errorf("the entry is %s, want %s", got, want)
	}
}

func TestReadRefusesMBR(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"status", func(b []byte) { b[446] = 0x01 }, "damaged"},
		{"no size", func(b []byte) { b[446+16+4] = 7 }, "entry 2 of the MBR is neither"},
		{"no type", func(b []byte) { b[446+16+12] = 7 }, "entry 2 of the MBR is neither"},
		{"beyond", func(b []byte) { le.PutUint32(b[446+12:], 1<<30) }, "partitions can be from"},
		{"wraps", func(b []byte) { le.PutUint32(b[446+8:], 1<<32-1) }, "partitions can be from"},
		{"overlap", func(b []byte) { mbrEntry(b, 1, 0, 0x83, 1000, 10) }, "partitions 1 and 2 overlap"},
		{"protective", func(b []byte) { mbrEntry(b, 1, 0, 0xee, 5000, 10) }, "protects a GPT"},
		{"two extended", func(b []byte) { mbrEntry(b, 1, 0, 0x05, 5000, 10) }, "two extended"},
		{"ring", func(b []byte) { mbrEntry(b[10240*512:], 1, 0, 0x05, 2048, 2048) }, "overlaps another"},
		{"no link", func(b []byte) { b[10240*512+510] = 0 }, "no link of the chain in sector 10240"},
		{"link outside", func(b []byte) { mbrEntry(b[8192*512:], 1, 0, 0x05, 4096, 10) }, "not within"},
		{"first link again", func(b []byte) { mbrEntry(b[10240*512:], 1, 0, 0x05, 0, 2048) }, "not within"},
		{"logical outside", func(b []byte) { mbrEntry(b[8192*512:], 0, 0, 0x83, 64, 9999) }, "not within"},
		{"logical over link", func(b []byte) { mbrEntry(b[8192*512:], 0, 0, 0x83, 64, 3000) }, "overlaps another"},
		{"third entry", func(b []byte) { mbrEntry(b[8192*512:], 2, 0, 0x83, 64, 10) }, "entry 3 is neither"},
		{"two links", func(b []byte) { mbrEntry(b[8192*512:], 0, 0, 0x05, 2048, 10) }, "of one sort"},
		{"odd link", func(b []byte) { b[8192*512+446] = 0x13 }, "entry 1 is neither"},
	} {
		b := oldDisk()
		c.damage(b)
		if _, err := Read(onDisk(b), int64(len(b)), 512); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// No logical partition was ever made.
	b := oldDisk()
	clear(b[8192*512 : 8193*512])
	if tab := must(Read(onDisk(b), int64(len(b)), 512))(t); len(tab.now) != 1 || len(tab.Entries()) != 2 {
		t.Errorf("an extended partition without logical ones: %v", tab.Entries())
	}
}

// TestCutMBR: the one write is whole or not, and Recover leads to either table.
func TestCutMBR(t *testing.T) {
	before := oldDisk()
	tab := must(Read(onDisk(before), 8*mib, 512))(t)
	from := tab.Saved()
	ok(t, tab.SetSize(1, 1000*512), tab.Add(Entry{Number: 2, Start: 2 * mib, Size: mib, Type: "Linux filesystem"}))
	to := tab.Saved()
	cut := onDisk(before)
	cut.left = 0
	if err := tab.Write(cut); err == nil || !bytes.Equal(cut.b, before) {
		t.Fatalf("cut before its write: %v", err)
	}
	whole := onDisk(before)
	ok(t, tab.Write(whole))
	for _, disk := range [][]byte{before, whole.b} {
		for _, target := range []struct{ from, to, want []byte }{{from, to, whole.b}, {to, from, before}} {
			for left := range 4 {
				d := onDisk(disk)
				d.left = left
				if err := Recover(d, 8*mib, 512, target.from, target.to); (err != nil) != (left < 3) {
					t.Fatalf("cut at %d: %v", left, err)
				}
				if !slices.ContainsFunc([][]byte{before, whole.b}, func(b []byte) bool { return bytes.Equal(b, d.b) }) {
					t.Errorf("cut at %d the disk differs at %v", left, differs(d.b, before))
				}
				d.left, d.synced = -1, true
				ok(t, Recover(d, 8*mib, 512, target.from, target.to))
				if !bytes.Equal(d.b, target.want) {
					t.Errorf("the disk differs at %v", differs(d.b, target.want))
				}
			}
		}
	}
	for _, at := range []int{3, 447, 8192*512 + 450} {
		d := onDisk(before)
		d.b[at]++
		if err := Recover(d, 8*mib, 512, from, to); err == nil || len(d.writes) > 0 {
			t.Errorf("with another byte %d: %v", at, err)
		}
	}
	d := onDisk(whole.b)
	ok(t, Restore(d, 8*mib, 512, from))
	if !bytes.Equal(d.b, before) {
		t.Errorf("restored, the disk differs at %v", differs(d.b, before))
	}
	gpt := onDisk(shapes[0].disk())
	if err := Restore(gpt, 8*mib, 512, from); err == nil || len(gpt.writes) > 0 {
		t.Errorf("an MBR was restored over a GPT: %v", err)
	}
}

// TestGeometry: a disk whose entries have addresses of another geometry keeps it.
func TestGeometry(t *testing.T) {
	for _, g := range []geometry{usual, {240, 63}, {16, 63}} {
		b := make([]byte, 64*mib)
		b[510], b[511] = 0x55, 0xaa
		mbrEntry(b, 0, 0, 0x07, 63, uint32(g.heads*g.perTrack*2-63))
		for at, sector := range map[int]int64{447: 63, 451: g.heads*g.perTrack*2 - 1} {
			c := g.chs(sector)
			copy(b[at:], c[:])
		}
		tab := must(Read(onDisk(b), 64*mib, 512))(t)
		if got := tab.geometry(); got != g {
			t.Errorf("the geometry is %v, want %v", got, g)
		}
		ok(t, tab.Add(Entry{Number: 2, Start: 32 * mib, Size: mib, Type: "Linux filesystem"}))
		first, last := g.chs(65536), g.chs(65536+2047)
		if e := tab.slot(2); [3]byte(e[1:]) != first || [3]byte(e[5:]) != last {
			t.Errorf("with %v the new entry is %x", g, e)
		}
	}
}

// TestOldDisk edits what sfdisk made, on devices with sectors of both sizes: the kernel's numbers, the bytes of all
// partitions and what other programs find.
func TestOldDisk(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			t.Parallel()
			const size = 256 * mib
			path, f := device(t, size, sector)
			at := func(n int) int { return n * mib / sector }
			disktest.Tool(t, "sh", "-c", fmt.Sprintf("printf 'label: dos\\nlabel-id: 0x1234abcd\\n"+
				"start=%d, size=%d, type=7, bootable\\nstart=%d, size=%d, type=f\\nstart=%d, size=%d, type=83\\n"+
				"start=%d, size=%d, type=83\\n' | sfdisk -q "+path, at(1), at(100), at(150), at(100), at(151), at(20),
				at(180), at(30)))
			data := noise(size - 2*mib)
			must(f.WriteAt(data[:440], 0))(t)
			must(f.WriteAt(data[:149*mib], mib))(t)
			must(f.WriteAt(data[:20*mib], 151*mib))(t)
			must(f.WriteAt(data[:30*mib], 180*mib))(t)
			before := make([]byte, size)
			must(f.ReadAt(before, 0))(t)
			dump := func() string { return disktest.Tool(t, "sfdisk", "-d", path) }
			was := dump()
			tab := must(Read(f, size, sector))(t)
			saved := must(Save(f, size, sector))(t)
			ok(t, tab.SetSize(1, 50*mib), tab.Write(f))
			ok(t, tab.Add(Entry{Number: 3, Start: 51 * mib, Size: 60 * mib, Type: "EFI system"}), tab.Write(f))
			judge(t, path, MBR)
			lines := strings.Split(dump(), "\n")
			for _, line := range strings.Split(was, "\n") {
				if !slices.Contains(lines, line) != strings.HasPrefix(line, path+"p1") {
					t.Errorf("sfdisk finds %s\nno longer %q", strings.Join(lines, "\n"), line)
				}
			}
			if tab.ID() != "1234abcd" {
				t.Errorf("the ID is %s", tab.ID())
			}
			after := make([]byte, size)
			must(f.ReadAt(after, 0))(t)
			for _, r := range differs(before, after) {
				if r[0] < 446 || r[1] > 510 {
					t.Errorf("the bytes %d to %d changed", r[0], r[1])
				}
			}
			ok(t, Restore(f, size, sector, saved))
			if got := dump(); got != was {
				t.Errorf("restored, sfdisk finds %s\nwant %s", got, was)
			}
			c := content.ReadTable(f, size, sector)
			if len(c.Partitions) != 4 || c.Partitions[3].Number != 6 {
				t.Errorf("the disk has %+v", c)
			}
		})
	}
}
