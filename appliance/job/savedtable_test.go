package job

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestParseSavedTable(t *testing.T) {
	want := SavedTable{Version: 1, Job: "j", Serial: "S", Size: 1 << 30, SectorSize: 512, Table: []byte("{}")}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseSavedTable(append(b, '\n')); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ParseSavedTable = %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "x", "another version": strings.Replace(string(b), `n":1`, `n":2`, 1),
		"no size": strings.Replace(string(b), `"size":1073741824`, `"size":0`, 1), "more behind it": string(b) + "{}",
		"no table": strings.Replace(string(b), `"e30="`, `""`, 1), "an unknown field": `{"x":1,` + string(b[1:]),
		"too large": string(b) + strings.Repeat(" ", MaxSavedTable),
	} {
		if got, err := ParseSavedTable([]byte(text)); err == nil {
			t.Errorf("%s: ParseSavedTable = %+v", name, got)
		}
	}
}

// Whatever a file has, nothing but an error comes of it.
func FuzzParseSavedTable(f *testing.F) {
	f.Add([]byte(`{"version":1,"job":"j","size":1,"sectorSize":512,"table":"e30="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseSavedTable(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := ParseSavedTable(again); len(again) <= MaxSavedTable && (err != nil ||
			!reflect.DeepEqual(same, got)) {
			t.Errorf("%s became %+v, %v", again, same, err)
		}
	})
}
