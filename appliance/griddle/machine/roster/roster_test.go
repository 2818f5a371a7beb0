package roster

import (
	"reflect"
	"strings"
	"testing"
)

func is(s string) *string { return &s }

// machines have what is hostile in a file.
var machines = []Machine{
	{Name: is("lab-1"), MACs: []string{"52:54:00:12:34:56", "52:54:00:12:34:57"}, Group: is("lab1"),
		Tags: &[]string{"gpu", "rack:3"}, Place: is("room 2, by the \"door\""), Note: is("=1+1")},
	{Name: is("lab-2"), UUID: "4c4c4544-0042-3510-8054-b4c04f4e3132", Group: is(""), Tags: &[]string{}, Place: is(""),
		Note: is("'-x: #y, [z]")},
	{Name: is("lab-3"), Group: is("lab1"), Tags: &[]string{}, Place: is("+49 30"), Note: is("'tis ünïcode")},
}

// TestRoundTrip: what is written is read as the same, from YAML and from CSV, and no cell is a formula.
func TestRoundTrip(t *testing.T) {
	for name, write := range map[string]func([]Machine) ([]byte, error){"a.yaml": YAML, "a.csv": CSV} {
		b, err := write(machines)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(name, b)
		if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
		for i := range got {
			if got[i].At = ""; len(got[i].MACs) == 0 {
				got[i].MACs = nil
			}
		}
		if !reflect.DeepEqual(got, machines) {
			t.Errorf("%s:\n%s\nis read as %+v", name, b, got)
		}
		for _, bad := range []string{",=", ",+", ",@", ",-", "\n="} {
			if name == "a.csv" && strings.Contains(string(b), bad) {
				t.Errorf("a cell begins with %q:\n%s", bad[1:], b)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"a.yaml|machines:\n  - {name: a, colour: red}\n":      "a.yaml:2:",
		"a.yaml|machines:\n  - {note: a}\n":                   "has no name, address or UUID",
		"a.yaml|machines:\n  - {name: a}\n  - {name: A}\n":    "was named before",
		"a.yaml|machines: 3\n":                                "a.yaml:1:",
		"a.yaml|[]\n":                                         "a.yaml:1:",
		"a.csv|name,colour\nx,red\n":                          `"colour" is not a column`,
		"a.csv|name,name\nx,y\n":                              "is there twice",
		"a.csv|name,note\nx\n":                                "wrong number of fields",
		"a.csv|":                                              "which names the columns",
		"a.csv|note\nx\n":                                     "has no name, address or UUID",
		"a.csv|name\n" + strings.Repeat("x\n", MaxMachines+1): "the limit is 10000",
	} {
		name, text, _ := strings.Cut(in, "|")
		if got, err := Parse(name, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60q) = %d machines, %.200v, want %q", in, len(got), err, want)
		}
	}
}

// FuzzParse: what is read is written so that it is read again.
func FuzzParse(f *testing.F) {
	f.Add(true, "name,macs,tags,note\na,52:54:00:12:34:56,x y,'=1\n")
	f.Add(false, "machines:\n  - {name: a, macs: [b], tags: []}\n")
	f.Fuzz(func(t *testing.T, table bool, text string) {
		name, write := "a.yaml", YAML
		if table {
			name, write = "a.csv", CSV
		}
		all, err := Parse(name, []byte(text))
		if err != nil {
			return
		}
		b, err := write(all)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(name, b)
		if err != nil || len(again) != len(all) {
			t.Errorf("%q is written as %q, and then read as %d of %d machines, %v", text, b, len(again), len(all), err)
		}
	})
}
