package setting

import (
	"encoding/json"
	"testing"
)

// TestWith: a document that was changed means what both mean one after the other, whatever comes before.
func TestWith(t *testing.T) {
	bases := []string{`{}`,
		`{"hostname":"a","zone":"UTC","ntp":["x"],"root":{"passwordHash":"!","keys":["k0"]},
		"users":[{"name":"ada","keys":["k1"],"groups":["g"]},{"name":"bob","uid":1001}],
		"files":[{"path":"/etc/a","content":"0","owner":"x"}],"network":{"search":["s"],"interfaces":[{"name":"lan0","mtu":9000}]}}`}
	for _, c := range []struct{ first, later, want string }{
		{`{"hostname":"b"}`, `{"zone":"UTC"}`, `{"hostname":"b","zone":"UTC"}`},
		{`{"zone":null}`, `{"hostname":"b"}`, `{"hostname":"b","zone":null}`},
		{`{"hostname":"b"}`, `{"hostname":null}`, `{"hostname":null}`},
		{`{"root":{"keys":["k1"]}}`, `{"root":{"keys":["k2","k1"]}}`, `{"root":{"keys":["k1","k2"]}}`},
		{`{"ntp":["a"]}`, `{"ntp":["b"]}`, `{"ntp":["b"]}`},
		{`{"users":[{"name":"ada","sudo":true}]}`, `{"users":[{"name":"ada","keys":["k2"]}]}`,
			`{"users":[{"keys":["k2"],"name":"ada","sudo":true}]}`},
		{`{"users":[{"name":"ada","sudo":true}]}`, `{"users":[{"name":"ada","absent":true}]}`,
			`{"users":[{"absent":true,"name":"ada"}]}`},
		{`{"users":[{"name":"ada","absent":true}]}`, `{"users":[{"name":"ada","uid":1500}]}`,
			`{"users":[{"absent":true,"name":"ada"},{"name":"ada","uid":1500}]}`},
		{`{"files":[{"path":"/etc/a","content":"1"}]}`, `{"files":[{"path":"/etc/a","owner":"y"}]}`,
			`{"files":[{"owner":"y","path":"/etc/a"}]}`},
		{`{"network":{"interfaces":[{"name":"lan0","dhcp4":true}]}}`,
			`{"network":{"interfaces":[{"name":"lan1"},{"name":"lan0","dhcp4":null}]}}`,
			`{"network":{"interfaces":[{"dhcp4":null,"name":"lan0"},{"name":"lan1"}]}}`},
	} {
		first, later := document(t, c.first), document(t, c.later)
		both := first.With(later)
		if b, err := json.Marshal(both); err != nil || string(b) != c.want {
			t.Errorf("%s with %s = %s, %v, want %s", c.first, c.later, b, err, c.want)
		}
		for _, base := range bases {
			one, two := Merge(document(t, base), both), Merge(document(t, base), first, later)
			got, err := json.Marshal(one.Document(""))
			want, err2 := json.Marshal(two.Document(""))
			if err != nil || err2 != nil || string(got) != string(want) {
				t.Errorf("%s, then %s with %s:\n got %s\nwant %s", base, c.first, c.later, got, want)
			}
		}
		if b, err := json.Marshal(first); err != nil || string(b) != string(must(json.Marshal(document(t, c.first)))) {
			t.Errorf("With() changed %s to %s, %v", c.first, b, err)
		}
	}
	d := document(t, `{"hostname":"a","zone":"UTC"}`)
	if b, err := json.Marshal(d.Without("zone", "network")); err != nil || string(b) != `{"hostname":"a"}` ||
		len(d.Keys()) != 2 {
		t.Errorf("Without() = %s, %v, and it leaves %v", b, err, d.Keys())
	}
}

func document(t *testing.T, text string) Document {
	t.Helper()
	d, err := Decode("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEmpty(t *testing.T) {
	for text, want := range map[string]bool{`{}`: true, `{"version":1}`: true,
		`{"users":[{"name":"ada","absent":true}]}`: true,
		`{"hostname":"a"}`:                         false, `{"ssh":{"passwordLogin":false}}`: false} {
		s, err := Merge(document(t, text)).Resolve(AnyMachine)
		if err != nil || s.Empty() != want {
			t.Errorf("Empty() of %s = %v, %v", text, s.Empty(), err)
		}
	}
}
