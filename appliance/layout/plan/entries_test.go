package plan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/initramfs/disk/entries"
)

// TestStepsCanBeDone does the steps that change tables to real ones: each can be done, its condition holds before it,
// and in the end the tables are those of tomorrow.
func TestStepsCanBeDone(t *testing.T) {
	done := map[Verb]int{}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		disks := []job.Disk{randomDisk(r, "a"), randomDisk(r, "b")}
		if seed%3 == 0 {
			disks[0] = []job.Disk{windows(), old()}[seed/3%2]
			disks[0].Serial = "a"
		}
		tables := map[string]*pages{}
		for i := range disks {
			tables[disks[i].Serial] = tableOf(t, &disks[i])
		}
		doc := randomLayout(r, disks[0])
		if seed%3 == 0 && r.IntN(2) == 0 {
			doc = layout.Form{Version: 1, Layout: layout.Shrunk, Match: job.Match{Serial: "a"},
				Partition: &layout.Which{Filesystem: "ntfs", Label: pick(r, "Windows", "XP")},
				Shrink:    &layout.Shrink{By: size(gib + r.Int64N(gib))}}.Document()
		}
		p, err := Make(Input{Layout: doc, Disks: disks})
		if err != nil {
			continue
		}
		for _, d := range p.Disks {
			for _, s := range p.Steps {
				if s.Disk == d.ID {
					if err := do(tables[d.Serial], d, s); err != nil {
						t.Fatalf("seed %d: %s: %v\n%s", seed, s, err, p.Text(100))
					}
					done[s.Do]++
				}
			}
			tab, err := entries.Read(tables[d.Serial], d.Size, d.SectorSize)
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, p.Text(100))
			}
			var want []Entry
			for _, a := range d.After {
				want = append(want, Entry{a.Number, a.Start, a.Size, a.Type, a.Name})
			}
			if got := entriesOf(tab); !slices.Equal(got, (Condition{Entries: want}).sorted().Entries) {
				t.Fatalf("seed %d: the disk has %+v\n%s", seed, got, p.Text(100))
			}
		}
	}
	for _, v := range []Verb{SetSize, MakeTable, AddEntry, SetType} {
		if done[v] < 5 {
			t.Errorf("%s was done %d times, want more", v, done[v])
		}
	}
}

// do does a step that changes a table, if its condition holds.
func do(disk *pages, d Disk, s Step) error {
	tab, err := entries.Read(disk, d.Size, d.SectorSize)
	if s.If.Table != "" && err != nil {
		return err
	}
	if err == nil && s.Do != MakeTable {
		if got := entriesOf(tab); !slices.Equal(got, s.If.Entries) || tab.Kind() != s.If.Table ||
			s.If.TableID != "" && tab.ID() != s.If.TableID {
			return fmt.Errorf("the disk has %s %s with %+v", tab.Kind(), tab.ID(), got)
		}
	}
	switch s.Do {
	case SetSize:
		err = tab.SetSize(s.Number, s.Size)
	case AddEntry:
		err = tab.Add(entries.Entry{Number: s.Number, Start: s.Start, Size: s.Size, Type: s.Type, Name: s.Name,
			Active: s.Active})
	case SetType:
		err = tab.SetType(s.Number, s.Type, s.Name)
	case MakeTable:
		tab, err = entries.New(s.Table, d.Size, d.SectorSize)
	default:
		return nil
	}
	return cmp.Or(err, tab.Write(disk))
}

func entriesOf(tab *entries.Table) []Entry {
	var out []Entry
	for _, e := range tab.Entries() {
		out = append(out, Entry{e.Number, e.Start, e.Size, e.Type, e.Name})
	}
	return (Condition{Entries: out}).sorted().Entries
}

// tableOf makes the table that a random disk has, and gives the disk what only one of that kind can have.
func tableOf(t *testing.T, d *job.Disk) *pages {
	t.Helper()
	disk := &pages{}
	if d.Table == "" {
		return disk
	}
	tab, err := entries.New(d.Table, d.Size, d.SectorSize)
	if err != nil {
		d.Table, d.Sampled = "", job.Zeros // too small
		d.Partitions = nil
		return disk
	}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		if d.Table == "mbr" {
			p.Name = ""
			if p.Type == "Microsoft basic data" {
				p.Type = "NTFS or exFAT"
			}
		}
		e := entries.Entry{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type, Name: p.Name}
		switch {
		case p.Number > 4 && d.Table == "mbr":
			continue // below
		case p.Type == "extended":
			e.Type = "0x01"
		}
		if err := tab.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.Write(disk); err != nil {
		t.Fatal(err)
	}
	d.TableID = tab.ID()
	for i, p := range d.Partitions {
		if p.Type == "extended" {
			disk.WriteAt([]byte{0x0f}, 446+int64(p.Number-1)*16+4)
			chain(disk, p, d.Partitions[i+1:], int64(d.SectorSize))
		}
	}
	return disk
}

// chain writes the links of logical partitions: one in front of each.
func chain(disk *pages, frame job.Partition, logical []job.Partition, sector int64) {
	at := frame.Start
	disk.WriteAt([]byte{0x55, 0xaa}, at+510)
	for i, p := range logical {
		entries := make([]byte, 32)
		entry := func(n int, kind byte, first, size int64) {
			entries[16*n+4] = kind
			binary.LittleEndian.PutUint32(entries[16*n+8:], uint32(first/sector))
			binary.LittleEndian.PutUint32(entries[16*n+12:], uint32(size/sector))
		}
		kind := byte(0x83)
		if p.Type != "Linux filesystem" {
			kind = 0x07
		}
		entry(0, kind, p.Start-at, p.Size)
		next := int64(0)
		if i+1 < len(logical) {
			next = logical[i+1].Start - sector
			entry(1, 0x05, next-frame.Start, logical[i+1].Size+sector)
		}
		disk.WriteAt(entries, at+446)
		disk.WriteAt([]byte{0x55, 0xaa}, at+510)
		at = next
	}
}

// pages is a large disk in memory, of which only some parts are not zero.
type pages struct{ written map[int64]*[4096]byte }

func (p *pages) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, io.EOF
	}
	for done := 0; done < len(b); {
		n, in := (at+int64(done))/4096, int((at+int64(done))%4096)
		if page := p.written[n]; page != nil {
			done += copy(b[done:], page[in:])
		} else {
			part := b[done:min(len(b), done+4096-in)]
			clear(part)
			done += len(part)
		}
	}
	return len(b), nil
}

func (p *pages) WriteAt(b []byte, at int64) (int, error) {
	if p.written == nil {
		p.written = map[int64]*[4096]byte{}
	}
	for done := 0; done < len(b); {
		n, in := (at+int64(done))/4096, int((at+int64(done))%4096)
		if p.written[n] == nil {
			if n := min(len(b)-done, 4096-in); len(bytes.Trim(b[done:done+n], "\x00")) == 0 {
				done += n
				continue
			}
			p.written[n] = &[4096]byte{}
		}
		done += copy(p.written[n][in:], b[done:])
	}
	return len(b), nil
}

func (p *pages) Sync() error { return nil }
