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
		plan.MakeTable, plan.AddEntry, plan.SetType, plan.Clear, plan.MakeFilesystem, plan.MakeMirror} {
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
				_ = r.tableID(i, "main")
			}
		}
		if past[len(past)-1].done {
			_ = r.uuid("main", 1)
		}
	})
}
