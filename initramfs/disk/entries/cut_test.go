package entries

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
)

// edited is a table of a crafted disk before and after some edits.
func edited(t *testing.T, disk []byte, sector int) (from, to []byte, tab *Table) {
	t.Helper()
	tab = must(Read(onDisk(disk), int64(len(disk)), sector))(t)
	from = tab.Saved()
	ok(t, tab.SetSize(2, mib), tab.Add(Entry{Number: 3, Start: 4 * mib, Size: mib, Type: "Linux filesystem"}))
	return from, tab.Saved(), tab
}

// dump is what sfdisk finds on a disk with sectors of 512 bytes.
func dump(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	ok(t, os.WriteFile(name, b, 0o600))
	out := must(exec.Command("sfdisk", "-d", name).Output())(t) // it says on stderr which copy is damaged
	return strings.ReplaceAll(string(out), name, "disk")
}

// look is what a scan finds of a table.
func look(d *memory, sector int) string {
	c := content.ReadTable(d, int64(len(d.b)), sector)
	return fmt.Sprint(c.GUID, c.Partitions)
}

// TestCutWrite cuts the power at every write, before it and when the first or the second half of it is on the disk. The
// table is the old or the new one, also for sfdisk, and Recover makes it the one that is asked for, also if it is
// interrupted.
func TestCutWrite(t *testing.T) {
	t.Parallel()
	for _, c := range shapes {
		before := c.disk()
		size, sector := int64(len(before)), int(c.sector)
		from, to, tab := edited(t, before, sector)
		whole := onDisk(before)
		ok(t, tab.Write(whole))
		after := whole.b
		states := []string{look(onDisk(before), sector), look(whole, sector)}
		if want := []int64{atBackupArray, atBackupHeader, atArray, atHeader}; len(whole.writes) != len(want) {
			t.Errorf("%s: writes at %v", c, whole.writes)
		} else {
			for i, w := range want {
				if whole.writes[i] != tab.now[w].At {
					t.Errorf("%s: write %d is at %d, want %d", c, i, whole.writes[i], tab.now[w].At)
				}
			}
		}
		var dumps []string
		halves := []string{"first"}
		if c == shapes[0] {
			halves = []string{"", "first", "second"}
			dumps = []string{dump(t, before), dump(t, after)}
		}
		seen := map[string]bool{}
		for left := range len(whole.writes) {
			for _, torn := range []string{"", "first", "second"} {
				name := fmt.Sprintf("%s, cut at write %d %s", c, left, torn)
				again := must(Read(onDisk(before), size, sector))(t)
				ok(t, again.SetSize(2, mib), again.Add(tab.Entries()[2]))
				cut := onDisk(before)
				if cut.left, cut.torn = left, torn; again.Write(cut) == nil {
					t.Fatalf("%s: nothing was cut", name)
				}
				got := look(cut, sector)
				if at := slices.Index(states, got); at < 0 {
					t.Errorf("%s: the disk has %s", name, got)
				} else {
					seen[fmt.Sprint(at)] = true
				}
				if c == shapes[0] && !slices.Contains(dumps, dump(t, cut.b)) {
					t.Errorf("%s: sfdisk finds %s\nwant one of %q", name, dump(t, cut.b), dumps)
				}
				d := onDisk(cut.b)
				for _, target := range []struct {
					from, to, want []byte
				}{{from, to, after}, {to, from, before}} {
					for n := range 5 {
						for _, half := range halves {
							for _, p := range tab.now {
								copy(d.b[p.At:p.end()], cut.b[p.At:])
							}
							d.left, d.torn = n, half
							if err := Recover(d, size, sector, target.from, target.to); err == nil {
								t.Fatalf("%s: Recover was not cut at %d", name, n)
							}
							if !slices.Contains(states, look(d, sector)) {
								t.Errorf("%s, Recover cut at %d: the disk has %s", name, n, look(d, sector))
							}
							d.left, d.synced = -1, true
							ok(t, Recover(d, size, sector, target.from, target.to))
							if !bytes.Equal(d.b, target.want) || !d.synced {
								t.Errorf("%s: after Recover the disk differs at %v", name, differs(d.b, target.want))
							}
						}
					}
				}
			}
		}
		if len(seen) != 2 {
			t.Errorf("%s: the cuts left only %v", c, seen)
		}
	}
}

// TestRecoverRefuses: a disk that has neither of the two tables is not written.
func TestRecoverRefuses(t *testing.T) {
	before := shapes[0].disk()
	from, to, tab := edited(t, before, 512)
	const last = 8*mib - 512
	whole := onDisk(before)
	ok(t, tab.Write(whole))
	third := must(Read(onDisk(before), 8*mib, 512))(t)
	ok(t, third.SetSize(2, 2*mib-512))
	other := onDisk(before)
	ok(t, third.Write(other))
	moved := shapes[2].disk()
	for _, c := range []struct {
		name     string
		disk     []byte
		damage   func(b []byte)
		from, to []byte
		want     string
	}{
		{"both copies", before, func(b []byte) { b[600]++; b[last+60]++ }, from, to, "neither copy"},
		{"boot sector", before, func(b []byte) { b[446+20]++ }, from, to, "sector at byte 0"},
		{"third table", other.b, nil, from, to, "the first copy of the GPT: it is neither"},
		{"third backup", before, func(b []byte) { copy(b[last-128*128:], other.b[last-128*128:]) }, from, to,
			"the backup copy of the GPT: it is neither"},
		{"another shape", moved, func(b []byte) { copy(b[:512], before) }, from, to, "it is neither"},
		{"not JSON", before, nil, []byte("{"), to, "damaged"},
		{"another disk", before, nil, from, must(Save(onDisk(moved), 8*mib, 512))(t), "not before and after"},
		{"damaged", before, nil, from, bytes.Replace(to, []byte(`"at":0,"bytes":"`), []byte(`"at":0,"bytes":"AAAA`), 1),
			"damaged"},
		{"version", before, nil, from, bytes.Replace(to, []byte(`"version":1`), []byte(`"version":2`), 1), "version 2"},
		{"large", before, nil, from, make([]byte, maxSaved+1), "at most"},
	} {
		d := onDisk(c.disk)
		if c.damage != nil {
			c.damage(d.b)
		}
		was := bytes.Clone(d.b)
		err := Recover(d, 8*mib, 512, c.from, c.to)
		if err == nil || !strings.Contains(err.Error(), c.want) || !bytes.Equal(was, d.b) {
			t.Errorf("%s: %v, want %q; changed at %v", c.name, err, c.want, differs(was, d.b))
		}
	}
	// What a firmware repaired is recognised, whatever it puts into what is reserved.
	d := onDisk(before)
	d.b[last+200]++
	ok(t, Recover(d, 8*mib, 512, from, to))
	if !bytes.Equal(d.b, whole.b) {
		t.Errorf("the disk differs at %v", differs(d.b, whole.b))
	}
}

// TestWriteRefuses: a table that another program changed since it was read is not written.
func TestWriteRefuses(t *testing.T) {
	before := shapes[0].disk()
	for _, at := range []int{3, 700, 1024, 8*mib - 300, 8*mib - 1000} {
		_, _, tab := edited(t, before, 512)
		d := onDisk(before)
		d.b[at]++
		if err := tab.Write(d); err == nil || !strings.Contains(err.Error(), "another program") || len(d.writes) > 0 {
			t.Errorf("with another byte %d: %v, writes at %v", at, err, d.writes)
		}
	}
	_, _, tab := edited(t, before, 512)
	d := onDisk(before)
	ok(t, tab.Write(d), tab.SetSize(2, 2*mib), tab.Write(d)) // one edit after another
	if got := must(Read(d, 8*mib, 512))(t).Entries()[1].Size; got != 2*mib {
		t.Errorf("the size is %d", got)
	}
	if err := tab.Write(&memory{b: before[:4*mib], left: -1, synced: true}); err == nil {
		t.Error("a smaller disk was written")
	}
}

// TestRestore gives a disk the saved table, whatever is there, and keeps a whole copy at every time.
func TestRestore(t *testing.T) {
	before := shapes[3].disk()
	from, _, tab := edited(t, before, 4096)
	whole := onDisk(before)
	ok(t, tab.Write(whole))
	broken := onDisk(whole.b)
	broken.b[4096+60]++
	states := []string{look(onDisk(before), 4096), look(whole, 4096)}
	for _, disk := range [][]byte{before, whole.b, broken.b} {
		for left := range 6 {
			d := onDisk(disk)
			d.left, d.torn = left, "first"
			if err := Restore(d, 8*mib, 4096, from); (err != nil) != (left < 5) {
				t.Fatalf("cut at %d: %v", left, err)
			}
			if !slices.Contains(states, look(d, 4096)) {
				t.Errorf("cut at %d: the disk has %s", left, look(d, 4096))
			}
			if left == 5 && !bytes.Equal(d.b, before) {
				t.Errorf("the disk differs at %v", differs(d.b, before))
			}
		}
	}
	empty := onDisk(make([]byte, 8*mib))
	ok(t, Restore(empty, 8*mib, 4096, from))
	if look(empty, 4096) != states[0] {
		t.Errorf("the disk has %s", look(empty, 4096))
	}
	if err := Restore(onDisk(before), 8*mib-4096, 4096, from); err == nil {
		t.Error("a table of another disk was restored")
	}
}
