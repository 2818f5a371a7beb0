package layout

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const beside = `{"version":1,"disks":[{"id":"main","match":{"size":"largest"},"partitions":[
	{"id":"windows","match":{"label":"Windows"},"shrink":{"leave":"50G"}},{"id":"esp","use":"esp"},
	{"id":"pool","use":"pool","size":"rest"}]}]}`

// TestDecode: what a program of this version wrote is read again, and nothing else.
func TestDecode(t *testing.T) {
	d, err := Decode([]byte(beside))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Decode(b); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("Decode() of %s = %+v, %v", b, again, err)
	}
	for name, c := range map[string][2]string{
		"nothing":       {"", "EOF"},
		"null":          {"null", "version: this program knows version 1"},
		"two documents": {beside + beside, "more than one value"},
		"a newer key":   {strings.Replace(beside, `"use":"esp"`, `"use":"esp","later":{}`, 1), `unknown field "later"`},
		"a newer one": {strings.Replace(beside, `"version":1`, `"version":2`, 1),
			"version: this program knows version 1"},
		"a short form": {`{"version":1,"layout":"whole-disk"}`, `unknown field "layout"`},
		"a mistake":    {strings.Replace(beside, `"rest"`, `"all"`, 1), `"all" is not a size`},
		"mistakes": {strings.NewReplacer(`"use":"esp"`, `"use":"swap"`, "largest", "huge").Replace(beside),
			"disks[0].match.size: \"huge\" is not largest, smallest or a range"},
		"too much": {beside + strings.Repeat(" ", MaxDocument), "the limit is 262144"},
		"deep":     {strings.Repeat(`[`, 200_000), "reading a layout"},
	} {
		if d, err := Decode([]byte(c[0])); err == nil || !strings.Contains(err.Error(), c[1]) || d.Disks != nil {
			t.Errorf("%s: Decode() = %+v, %v, want %q", name, d, err, c[1])
		}
	}
}

// FuzzDecode: what is read is valid, and is the same when it is written and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(beside))
	f.Add([]byte(`{"version":1,"disks":[{"id":"a","match":{"serial":"S*"},"table":"mbr","wipe":true,"partitions":[{}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(b)
		if err != nil {
			return
		}
		if all := d.Check(); len(all) > 0 {
			t.Fatalf("the document has mistakes: %v", all)
		}
		first, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("Decode() of %s = %v", first, err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("written again it is %s, %v, want %s", second, err, first)
		}
	})
}
