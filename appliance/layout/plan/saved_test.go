package plan

import (
	"encoding/json"
	"reflect"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

func TestSavedTables(t *testing.T) {
	p := planned(t, shrinking(layout.Shrink{To: size(300 * gib)}), windows())
	at := 0
	for i, s := range p.Steps {
		if s.Do == SaveTable {
			at = i + 1
		}
	}
	if at == 0 {
		t.Fatal("the plan saves no table")
	}
	var records []json.RawMessage
	add := func(r record) {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, b)
	}
	add(record{Job: jobID, Plan: &p})
	if got, err := SavedTables(records); err != nil || len(got) > 0 {
		t.Errorf("before the step SavedTables = %+v, %v", got, err)
	}
	add(record{Job: jobID, Step: at, Table: []byte("table")})
	add(record{Job: jobID, Step: at})
	add(record{Job: jobID, Step: at + 2, Table: []byte("of an edit")})
	add(record{Job: jobID, Step: 1 << 30, Table: []byte("x")})
	d := windows()
	want := []job.SavedTable{{Version: 1, Job: jobID, Serial: d.Serial, WWN: d.WWN, Size: d.Size, SectorSize: 512,
		Table: []byte("table")}}
	if got, err := SavedTables(records); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("SavedTables = %+v, %v, want %+v", got, err, want)
	}
	if _, err := SavedTables([]json.RawMessage{[]byte("[")}); err == nil {
		t.Error("a record that is not JSON was taken")
	}
}

// Whatever the records are, nothing but an error comes of them.
func FuzzSavedTables(f *testing.F) {
	p, err := Make(Input{Layout: shrinking(layout.Shrink{To: size(300 * gib)}), Disks: []job.Disk{windows()}})
	if err != nil {
		f.Fatal(err)
	}
	first, err := json.Marshal(record{Job: jobID, Plan: &p})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(first, []byte(`{"step":2,"table":"AA=="}`))
	f.Add([]byte(`{"plan":{"steps":[{"do":"save-table"}]}}`), []byte(`{"step":-1,"table":"AA=="}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got, err := SavedTables([]json.RawMessage{a, b})
		if err != nil {
			return
		}
		for _, s := range got {
			if len(s.Table) == 0 {
				t.Errorf("a table without bytes: %+v", s)
			}
		}
	})
}
