package stack

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"griddle/cloud/yamltree"
)

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(Schema())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("stack.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("stack.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a file as a validator sees it; nil where it is no YAML of one document.
func asJSON(t testing.TB, file string, b []byte) any {
	t.Helper()
	r := yamltree.NewReader(file)
	n := r.Read(b, options())
	if n == nil || len(r.Faults()) > 0 {
		return nil
	}
	j, err := json.Marshal(n.Plainly())
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(j)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaTakes has the schema take what Parse takes, and refuse the files that have every kind of fault of shape.
func TestSchemaTakes(t *testing.T) {
	s := compiled(t)
	for name, b := range glob(t, "good/*.yaml") {
		if err := s.Validate(asJSON(t, name, b)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range glob(t, "bad/*.yaml") {
		if err := s.Validate(asJSON(t, name, b)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// TestSchemaShapes refuses what is wrong by its shape alone, and agrees with Parse on each.
func TestSchemaShapes(t *testing.T) {
	s := compiled(t)
	full := string(glob(t, "good/full.yaml")["full.yaml"])
	for _, change := range [][2]string{
		{"version: 1", "version: 2"},
		{"name: demo", "name: Demo"},
		{"kind: openstack", "kind: vsphere"},
		{"zone: nova", "zone: [nova]"},
		{"proxy: http:", "proxy: ftp:"},
		{"parallel: 8", "parallel: 65"},
		{"server: 20m", "server: 20"},
		{"prefix: 10.80.0.0/24", "prefx: 10.80.0.0/24"},
		{"admin: ops", "admin: root"},
		{"{file: keys of all}", "{path: keys of all}"},
		{"{name: ops, sudo: true", "{sudo: true"},
		{"sudo: false", "sudo: no"},
		{"port: 2222", "port: 0"},
		{"{env: DB_PASSWORD}", "{env: DB_PASSWORD, generate: 12}"},
		{"{env: DB_PASSWORD}", "{env: DB_PASSWORD, identity: x}"},
		{"{generate: 32}", "{generate: 7}"},
		{"  db: {env", "  0db: {env"},
		{"image: base:stable", "image: Base:stable"},
		{"arch: amd64", "arch: mips"},
		{"disk: 20GiB", "disk: 20GB"},
		{"public: false", "public: null"},
		{"[{path: common.yaml}]", "[{path: common.yaml, script: '#!x'}]"},
		{"[{path: common.yaml}]", "{path: common.yaml}"},
		{"script: \"#!/bin", "script: \"/bin"},
		{"inherits: small", "inherits: {small: 1}"},
		{"ports: [443", "ports: [0"},
		{"8000-8100/udp", "8000-8100/sctp"},
		{"count: 2", "count: -1"},
		{"count: 2", "count: 2000"},
		{"  worker:\n", "  Worker:\n"},
		{"secret: true", "secret: 1"},
		{"mode: 0640", "mode: 4096"},
		{"path: /etc/worker", "path: etc/worker"},
		{"expand: true", "expanded: true"},
		{"{size: 100GiB,", "{"},
		{"name: wal", "name: Wal"},
		{"group: rack-a", "groups: rack-a"},
	} {
		if !strings.Contains(full, change[0]) {
			t.Errorf("%q is not in the file", change[0])
			continue
		}
		b := []byte(strings.Replace(full, change[0], change[1], 1))
		if _, err := Parse("f", b); err == nil {
			t.Errorf("%q: Parse takes it", change[1])
		}
		if err := s.Validate(asJSON(t, "f", b)); err == nil {
			t.Errorf("%q: the schema takes it", change[1])
		}
	}
}

// TestSchemaKeys compares the keys of each kind of mapping; full.yaml has one of each.
func TestSchemaKeys(t *testing.T) {
	r := yamltree.NewReader("full.yaml")
	r.Shapes = map[string][]string{}
	if parse(r, glob(t, "good/full.yaml")["full.yaml"]); len(r.Faults()) > 0 {
		t.Fatal(r.Faults())
	}
	type object struct {
		Properties map[string]any `json:"properties"`
		AllOf      []any          `json:"allOf"`
	}
	var doc struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	doc.Defs["stack"] = doc.object
	for shape, want := range r.Shapes {
		o, ok := doc.Defs[shape]
		if !ok {
			t.Errorf("the schema has no %s", shape)
			continue
		}
		got := slices.Collect(maps.Keys(o.Properties))
		if len(o.AllOf) > 0 {
			got = slices.AppendSeq(got, maps.Keys(doc.Defs["properties"].Properties))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("keys of %s: the schema has %v, Parse %v", shape, got, want)
		}
		delete(doc.Defs, shape)
	}
	for name, o := range doc.Defs {
		if len(o.Properties) > 0 && name != "properties" {
			t.Errorf("full.yaml has no %s", name)
		}
	}
}
