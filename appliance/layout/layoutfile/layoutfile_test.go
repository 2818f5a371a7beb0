package layoutfile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/layout"
)

const long = `version: 1
disks:
  - id: main
    match: {size: largest, transport: nvme, model: "Sam*", serial: S1, wwn: naa.5, path: /dev/nvme0n1}
    table: gpt
    partitions:
      - {id: windows, match: {number: 3, name: Basic*, label: Windows, filesystem: ntfs}, filesystem: ntfs, shrink: {leave: 100G}}
      - {id: esp, use: esp, keep: true}
      - {id: pool, use: pool, size: rest}
      - {id: srv, use: data, size: 20%, filesystem: xfs, label: data, mount: /srv}
      - {id: old, match: {label: old}, use: swap, wipe: true}
`

// TestParse reads each key of the language: the document and what its JSON gives are the same.
func TestParse(t *testing.T) {
	t.Parallel()
	d, err := Parse("f.yaml", []byte(long))
	if err != nil {
		t.Fatal(err)
	}
	want := layout.Document{Version: 1, Disks: []layout.Disk{{
		ID: "main", Table: "gpt",
		Match: layout.Match{Size: "largest", Transport: "nvme", Model: "Sam*", Serial: "S1", WWN: "naa.5",
			Path: "/dev/nvme0n1"},
		Partitions: []layout.Partition{
			{ID: "windows", Match: &layout.Which{Number: 3, Name: "Basic*", Label: "Windows", Filesystem: "ntfs"},
				Filesystem: "ntfs", Shrink: &layout.Shrink{Leave: layout.Size{Bytes: 100 << 30}}},
			{ID: "esp", Use: "esp", Keep: true},
			{ID: "pool", Use: "pool", Size: layout.Size{Rest: true}},
			{ID: "srv", Use: "data", Size: layout.Size{Percent: 20}, Filesystem: "xfs", Label: "data", Mount: "/srv"},
			{ID: "old", Match: &layout.Which{Label: "old"}, Use: "swap", Wipe: true},
		},
	}}}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("Parse = %+v\nwant %+v", d, want)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var fromJSON layout.Document
	if err := json.Unmarshal(b, &fromJSON); err != nil || !reflect.DeepEqual(fromJSON, want) {
		t.Errorf("from JSON the document is %+v, %v", fromJSON, err)
	}
	if again, err := Parse("f.json", b); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("Parse of the JSON = %+v, %v", again, err)
	}
	if d, err := Parse("f.yaml", []byte("version: 1\nlayout: free-space\nmatch: {size: smallest}\n")); err != nil ||
		len(d.Disks[0].Partitions) != 3 {
		t.Errorf("Parse of a short form = %+v, %v", d, err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const short = "version: 1\nlayout: shrink\nmatch: {size: largest}\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "f.yaml:1:1: it must be a mapping of keys, not nothing"},
		{"syntax", "a: [\n", "f.yaml:1:4: this is not YAML: sequence end token ']' not found"},
		{"missing", "disks: []\n", "f.yaml:1:1: the key version is missing"},
		{"version", strings.Replace(long, "1", "2", 1), "f.yaml:1:10: version: this program knows version 1"},
		{"number", strings.Replace(long, "20%", "20", 1), "f.yaml:10:36: disks[0].partitions[3].size: it must be a " +
			"size " +
			"such as 20G, 500GB, 25% or rest, not 20; add the unit: 20G"},
		{"size", strings.Replace(long, "20%", "20q", 1),
			`f.yaml:10:36: disks[0].partitions[3].size: "20q" is not a size: ` +
				"write 20G (of 1024 MiB), 500GB (of 1000 MB), 25% or rest"},
		{"key", strings.Replace(long, "shrink:", "shrnk:", 1),
			`f.yaml:7:109: disks[0].partitions[0]: the key "shrnk" ` +
				"is unknown; did you mean shrink?"},
		{"id", strings.Replace(long, "id: main", "id: Main", 1),
			`f.yaml:3:9: disks[0].id: "Main" is not a name: a to z, ` +
				"0 to 9 and hyphens, a letter first, at most 32"},
		{"in a list", strings.Replace(long, "use: data", "use: pool", 1), "f.yaml:3:3: disks: the layout has 2 " +
			"partitions with use: pool on one disk; for a mirror give each of two disks one partition with use: " +
			"pool\nf.yaml:10:53: disks[0].partitions[3].filesystem: a pool is " +
			"a btrfs; for xfs, have two partitions with use: root and one with use: persistent in its place"},
		{"form", "version: 1\nlayout: freespace\nmatch: {size: largest}\n",
			`f.yaml:2:9: layout: no layout is called "freespace"; did you mean free-space?`},
		{"form's own", short, "f.yaml:1:1: the key shrink is missing: how far; write shrink: {by: 60G}, with to, " +
			"by or " +
			"leave"},
		{"form's shrink", short + "shrink: {by: rest}\n",
			"f.yaml:4:9: shrink: the rest is not a size here; write a size or a share"},
		{"form's partition", short + "shrink: {by: 1G}\npartition: {label: '*'}\n",
			`f.yaml:5:20: partition.label: "*" fits everything; leave it out, or write a part of the name`},
		{"form's match", strings.Replace(short, "largest", "large", 1) + "shrink: {by: 1G}\n",
			`f.yaml:3:15: match.size: "large" is not largest, smallest or a range such as 100G..2T`},
		{"form's other disk", "version: 1\nlayout: mirror\nmatch: {serial: a}\nwith: {size: large}\n",
			`f.yaml:4:14: with.size: "large" is not largest, smallest or a range such as 100G..2T`},
		{"form's version", strings.Replace(short, "1", "9", 1) + "shrink: {by: 1G}\n",
			"f.yaml:1:10: version: this program knows version 1"},
		{"alias", "version: &a 1\nlayout: *a\n", "f.yaml:1:1: the key match is missing\n" +
			"f.yaml:1:10: version: anchors (&) and aliases (*) are not allowed"},
		{"large", strings.Repeat("#", MaxBytes+1), "f.yaml:1:1: the file has 65537 bytes, 65536 are allowed"},
	} {
		_, err := Parse("f.yaml", []byte(c.in))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the error is\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}

// FuzzParse has any bytes be a file: what is read is valid, is the same twice, and is the same after JSON.
func FuzzParse(f *testing.F) {
	f.Add([]byte(long))
	for _, form := range layout.Forms {
		f.Add([]byte("version: 1\nlayout: " + form + "\nmatch: {size: largest}\nwipe: true\npartition: {number: 1}\n" +
			"shrink: {to: 20%}\n"))
		f.Add([]byte("version: 1\nlayout: " + form + "\nmatch: {size: 1G..2T}\n"))
	}
	f.Add([]byte(`{"version": 1, "disks": [{"id": "a", "match": {"serial": "x*"}, "partitions": [{"id": "esp", ` +
		`"use": "esp"}, {"id": "pool", "use": "pool", "size": "10GB"}, {"id": "h", "use": "home", "size": "3%"}]}]}`))
	f.Add([]byte(volumes))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse("f", b)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without text")
			}
			return
		}
		if all := d.Check(); len(all) > 0 {
			t.Fatalf("Parse(%q) is not valid: %v", b, all)
		}
		wire, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("f", wire)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("Parse(%q) = %+v\nas JSON it is %s\nand again %+v, %v", b, d, wire, again, err)
		}
		if d.String() == "" {
			t.Fatal("a document that says nothing")
		}
	})
}
