package divide

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"griddle/appliance/layout/plan"
)

// every is a plan with a step of each verb.
func every() plan.Plan {
	var p plan.Plan
	for _, do := range []plan.Verb{plan.CheckFilesystem, plan.SaveTable, plan.ShrinkFilesystem, plan.SetSize,
		plan.MakeTable, plan.AddEntry, plan.SetType, plan.Clear, plan.MakeFilesystem} {
		p.Steps = append(p.Steps, plan.Step{Do: do, Disk: "main", Number: 1})
	}
	p.Hash = "sha256:x"
	p.Disks = []plan.Disk{{ID: "main"}}
	return p
}

// FuzzHistory reads journals. Whatever a journal has, no step is done without those before it, and what is asked of
// the steps that have begun is there.
func FuzzHistory(f *testing.F) {
	var good []string
	p := every()
	add := func(e Entry) {
		e.Version, e.Job = Version, jobID
		line, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		good = append(good, string(line))
	}
	add(Entry{Plan: &p})
	for i := range p.Steps {
		add(Entry{Step: i + 1, State: Begun, Table: []byte("a"), After: []byte("b"), Sum: "c", TableID: "d", UUID: "e"})
		add(Entry{Step: i + 1, State: Done})
	}
	for n := range good {
		f.Add([]byte(strings.Join(good[:n+1], "\n")))
	}
	f.Fuzz(func(t *testing.T, journal []byte) {
		var entries []Entry
		for line := range bytes.Lines(journal) {
			var e Entry
			if json.Unmarshal(line, &e) == nil {
				entries = append(entries, e)
			}
		}
		past, err := history(entries, jobID, p)
		if err != nil {
			return
		}
		r := &run{plan: p, past: past}
		for i := range past {
			if i > 0 && past[i].begun && !past[i-1].done || past[i].done && !past[i].begun {
				t.Errorf("step %d has begun before the one before it was done", i+1)
			}
			if past[i].begun && i > 4 {
				_ = r.tableID(i)
			}
		}
		if past[len(past)-1].done {
			_ = r.uuid("main", 1)
		}
	})
}

// FuzzSuper reads superblocks. A size is never below zero, and never more than can be.
func FuzzSuper(f *testing.F) {
	ext := make([]byte, 2048)
	copy(ext[1024+0x38:], "\x53\xef")
	ext[1024+4] = 8
	btrfs := make([]byte, 68<<10)
	copy(btrfs[64<<10+0x40:], "_BHRfS_M")
	btrfs[64<<10+0xd3] = 1
	f.Add(ext, uint8(0))
	f.Add(btrfs, uint8(1))
	f.Add([]byte("\xeb\x52\x90NTFS    "), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) {
		name := []string{"ext4", "btrfs", "ntfs"}[kind%3]
		if s, err := readSuper(bytes.NewReader(b), name); err == nil && (s.size <= 0 || s.size > 1<<62) {
			t.Errorf("readSuper of a %s = %+v", name, s)
		}
	})
}

// FuzzMinimum reads what resize2fs says.
func FuzzMinimum(f *testing.F) {
	f.Add("resize2fs 1.47.0 (5-Feb-2023)\nEstimated minimum size of the filesystem: 113134\n")
	f.Add("Estimated minimum size of the filesystem: 99999999999999999999\n")
	f.Add("Estimated minimum size of the filesystem: -1\n")
	f.Fuzz(func(t *testing.T, out string) {
		if n, err := minimum(out); err == nil && n < 0 {
			t.Errorf("minimum(%q) = %d", out, n)
		}
	})
}

// TestSuper has the superblocks that programs make, and impossible ones.
func TestSuper(t *testing.T) {
	ext := make([]byte, 2048)
	copy(ext[1024+0x38:], "\x53\xef")
	ext[1024+4], ext[1024+0x60], ext[1024+0x150] = 8, 0x80|0x4, 1
	s, err := readSuper(bytes.NewReader(ext), "ext4")
	if want := int64(1<<32+8) << 10; err != nil || s.size != want || !s.ext.unreplayed {
		t.Errorf("readSuper = %+v, %v; want %d bytes", s, err, want)
	}
	ext[1024+0x18] = 7
	for _, c := range []struct{ kind, want string }{
		{"ext4", "are impossible"}, {"btrfs", "reading the superblock of the btrfs"}, {"xfs", "cannot be shrunk"},
		{"ntfs", "it has no boot sector"},
	} {
		if _, err := readSuper(bytes.NewReader(ext), c.kind); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("readSuper of a %s = %v, want %q", c.kind, err, c.want)
		}
	}
}
