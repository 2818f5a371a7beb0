package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestRandom makes plans of random layouts on random disks, and carries out their steps on a model of the disk.
func TestRandom(t *testing.T) {
	made := map[string]int{}
	for seed := range uint64(4000) {
		random(t, seed, made)
	}
	t.Logf("%v", made)
	for _, outcome := range []string{"refused", "gpt", "mbr", string(Shrunk), string(Emptied), string(Made),
		string(Lost),
		string(Stays)} {
		if made[outcome] < 50 {
			t.Errorf("%d random plans are %s, want more", made[outcome], outcome)
		}
	}
}

// FuzzRandom is TestRandom with any seed.
func FuzzRandom(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { random(t, seed, map[string]int{}) })
}

func random(t *testing.T, seed uint64, made map[string]int) {
	r := rand.New(rand.NewPCG(seed, 1))
	disks := []job.Disk{randomDisk(r, "a"), randomDisk(r, "b")}
	doc := randomLayout(r, disks[0])
	p, err := Make(Input{Layout: doc, Disks: disks})
	if err != nil {
		made["refused"]++
		return
	}
	again, err := Make(Input{Layout: doc, Disks: another(r, disks)})
	if err != nil || again.Hash != p.Hash {
		t.Fatalf("seed %d: a second look makes the plan %s, %v, want %s\n%s", seed, again.Hash, err, p.Hash, p.Text(80))
	}
	for _, d := range p.Disks {
		at := slices.IndexFunc(disks, func(j job.Disk) bool { return d.Is(j) })
		if at < 0 {
			t.Fatalf("seed %d: no disk is that of the plan", seed)
		}
		if err := carryOut(p, d, disks[at]); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, p.Text(100))
		}
		for _, a := range slices.Concat(d.Before, d.After) {
			made[string(a.Fate)]++
		}
		made[d.Table]++
	}
}

// another is a second look at the same disks: another order, and other facts that do not count.
func another(r *rand.Rand, disks []job.Disk) []job.Disk {
	out := slices.Clone(disks)
	slices.Reverse(out)
	for i := range out {
		d := &out[i]
		d.Path, d.Model, d.Sampled = fmt.Sprintf("/dev/sd%c", 'z'-i), "another",
			map[bool]string{true: d.Sampled}[d.Blank()]
		d.Partitions = slices.Clone(d.Partitions)
		r.Shuffle(len(d.Partitions), func(i, j int) {
			d.Partitions[i], d.Partitions[j] = d.Partitions[j], d.Partitions[i]
		})
		for j := range d.Partitions {
			d.Partitions[j].Minimum = max(d.Partitions[j].Minimum-4096, 0)
		}
	}
	return out
}

// carryOut does the steps of one disk to a model of its table, and checks what each touches. It knows the rules by
// itself: GPTs have 128 entries in 32 sectors of 512 bytes or 4 of 4096.
func carryOut(p Plan, d Disk, on job.Disk) error {
	sector := int64(d.SectorSize)
	front, back := sector, int64(0)
	entries := map[int]Entry{}
	for _, q := range on.Partitions {
		entries[q.Number] = Entry{q.Number, q.Start, q.Size, q.Type, q.Name}
	}
	before := slices.Clone(on.Partitions)
	kind := on.Table
	for _, s := range p.everywhere() {
		if s.Disk != d.ID {
			continue
		}
		if len(s.If.Entries) != len(entries) || s.If.Table != kind {
			return fmt.Errorf("before %s the table is %s with %d entries, and the plan says %+v", s, kind,
				len(entries), s.If)
		}
		for _, e := range s.If.Entries {
			if entries[e.Number] != e {
				return fmt.Errorf("before %s entry %d is %+v, and the plan says %+v", s, e.Number, entries[e.Number], e)
			}
		}
		var from, to int64 // of what is written beside the table
		switch s.Do {
		case CheckFilesystem, SaveTable:
		case MakeTable:
			entries, before, kind = map[int]Entry{}, nil, s.Table
		case ShrinkFilesystem:
			from, to = entries[s.Number].Start, entries[s.Number].Start+entries[s.Number].Size
		case SetSize:
			e := entries[s.Number]
			e.Size = s.Size
			entries[s.Number] = e
		case SetType:
			e := entries[s.Number]
			e.Type, e.Name = s.Type, s.Name
			entries[s.Number] = e
		case AddEntry:
			if _, taken := entries[s.Number]; taken || s.Start%mib != 0 || s.Size%mib != 0 || s.Size <= 0 {
				return fmt.Errorf("%s: the entry is taken, or not aligned", s)
			}
			entries[s.Number] = Entry{s.Number, s.Start, s.Size, s.Type, s.Name}
		case Clear, Encrypt, MakeFilesystem, MakeMirror:
			from, to = s.Start, s.Start+s.Size
			if e := entries[s.Number]; e.Start != s.Start || e.Size != s.Size {
				return fmt.Errorf("%s is in %+v", s, e)
			}
		}
		for _, q := range before {
			inner := q.Type == "extended" && logical(kind, s.Number) // which is in it
			if from < q.Start+q.Size && q.Start < to && stays(d, q) && !inner {
				return fmt.Errorf("%s touches partition %d", s, q.Number)
			}
		}
	}
	if kind == "gpt" {
		front, back = 34*sector, 33*sector
		if sector == 4096 {
			front, back = 6*sector, 5*sector
		}
	}
	for _, q := range before {
		if e, ok := entries[q.Number]; stays(d, q) && e != (Entry{q.Number, q.Start, q.Size, q.Type, q.Name}) || !ok {
			return fmt.Errorf("partition %d is %+v afterwards, and was %+v", q.Number, e, q)
		}
	}
	for _, e := range entries {
		if e.Start < front || e.Start+e.Size > d.Size-back || kind == "mbr" && (e.Start+e.Size)/sector > 1<<32 {
			return fmt.Errorf("entry %+v is not where the table lets it be", e)
		}
		for _, o := range entries {
			inside := kind == "mbr" && (e.Number > 4 || o.Number > 4)
			if e.Number != o.Number && !inside && e.Start < o.Start+o.Size && o.Start < e.Start+e.Size {
				return fmt.Errorf("entries %+v and %+v overlap", e, o)
			}
		}
		if !slices.ContainsFunc(d.After, func(a Part) bool {
			return a.Number == e.Number && a.Start == e.Start && a.Size == e.Size && a.Type == e.Type &&
				a.Name == e.Name
		}) {
			return fmt.Errorf("entry %+v is not in the picture of tomorrow", e)
		}
	}
	if len(entries) != len(d.After) {
		return fmt.Errorf("there are %d entries, and the picture has %d", len(entries), len(d.After))
	}
	return nil
}

// stays says whether the plan shows q as what stays.
func stays(d Disk, q job.Partition) bool {
	return slices.ContainsFunc(d.After, func(a Part) bool {
		return a.Number == q.Number && (a.Fate == Stays || a.Fate == Extended)
	})
}

// FuzzInventory has any JSON be what a machine reports: Make returns, and what it plans is proved.
func FuzzInventory(f *testing.F) {
	for _, d := range []job.Disk{windows(), old(), blank(20*gib, 512), {Path: "/dev/x", Size: 1 << 62,
		SectorSize: 512}} {
		b, err := json.Marshal([]job.Disk{d})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var disks []job.Disk
		if json.Unmarshal(b, &disks) != nil {
			return
		}
		for _, name := range layout.Forms {
			doc := form(layout.Form{Layout: name, Wipe: len(b)%2 == 0, Partition: &layout.Which{Number: 3},
				Shrink: &layout.Shrink{Leave: size(gib)}, With: &layout.Match{Size: layout.Smallest}})
			if name != layout.WholeDisk && name != layout.Mirror {
				doc.Disks[0].Wipe = false
			}
			p, err := Make(Input{Layout: doc, Disks: disks})
			if err == nil {
				p.Text(80)
			}
		}
	})
}
