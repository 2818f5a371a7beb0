package settingfile

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"griddle/appliance/setting"
)

var update = flag.Bool("update", false, "write the results into docs/SETTINGS.md again")

const document = "../../../docs/SETTINGS.md"

// fenced is a block of a document, with the lines of it, from 0.
type fenced struct {
	kind       string // yaml, yaml machines, json or text
	from, to   int
	text, name string // name: of the file, if its first line is a comment with one
}

func blocks(lines []string) (all []fenced) {
	var at *fenced
	for i, line := range lines {
		kind, is := strings.CutPrefix(line, "```")
		switch {
		case is && at == nil:
			at = &fenced{kind: kind, from: i + 1}
		case is:
			at.to = i
			at.text = strings.Join(lines[at.from:i], "\n") + "\n"
			if first, _, _ := strings.Cut(at.text, "\n"); strings.HasSuffix(first, ".yaml") {
				at.name = strings.TrimPrefix(first, "# ")
			}
			if at.kind != "sh" {
				all = append(all, *at)
			}
			at = nil
		}
	}
	return all
}

// result is what files give: the values with their origin, or the error. All must be good without a result of their
// own in the document.
func result(files []fenced) (string, setting.Settings, error) {
	var all []File
	for _, f := range files {
		name := f.name
		if name == "" {
			name = "machine.yaml"
		}
		if f.kind == "yaml machines" {
			_, err := ParseMachines(name, []byte(f.text))
			return "", setting.Settings{}, err
		}
		file, err := Parse(name, []byte(f.text))
		if err != nil {
			return err.Error(), setting.Settings{}, err
		}
		all = append(all, file)
	}
	m, s, err := Resolve(machine, all...)
	if err != nil {
		return err.Error(), s, err
	}
	var b strings.Builder
	for _, v := range m.Values() {
		fmt.Fprintf(&b, "%-28s %-16s %s\n", v.Place, v.Text, v.From)
	}
	return b.String(), s, nil
}

// TestDocument decodes and resolves every example of docs/SETTINGS.md. A block of text says what comes of the block
// before it, or of the files before it.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	all := blocks(lines)
	have := map[string]bool{}
	for i := len(all) - 1; i >= 0; i-- { // from the end, so that an update moves no line that comes
		end, at := all[i], i
		if end.kind == "text" {
			for at--; all[at].name != "" && all[at-1].name != ""; at-- {
			}
		}
		examples := all[at : i+1]
		if end.kind == "text" {
			examples = all[at:i]
			i = at
		}
		got, s, err := result(examples)
		switch {
		case end.kind != "text" && err != nil:
			t.Errorf("%s:%d: %v", document, end.from+1, err)
		case end.kind == "text" && *update:
			lines = append(lines[:end.from], append(strings.Split(strings.TrimSpace(got), "\n"), lines[end.to:]...)...)
		case end.kind == "text" && strings.TrimSpace(got) != strings.TrimSpace(end.text):
			t.Errorf("%s:%d: the examples give\n%s", document, end.from+1, got)
		}
		note(have, "", reflect.ValueOf(s))
	}
	for _, f := range fields("", reflect.TypeFor[setting.Settings]()) {
		if !have[f] {
			t.Errorf("%s has no example of %s", document, f)
		}
	}
	if *update {
		if err := os.WriteFile(document, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fields are the keys of settings, with those inside of them.
func fields(at string, t reflect.Type) (out []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !strings.HasSuffix(t.PkgPath(), "appliance/setting") {
		return nil
	}
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out = append(out, at+key)
		out = append(out, fields(at+key+".", t.Field(i).Type)...)
	}
	return out
}

// note notes which keys have a value.
func note(have map[string]bool, at string, v reflect.Value) {
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			note(have, at, v.Elem())
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			note(have, at, v.Index(i))
		}
	case v.Kind() == reflect.Struct && strings.HasSuffix(v.Type().PkgPath(), "appliance/setting"):
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if !v.Field(i).IsZero() {
				have[at+key] = true
			}
			note(have, at+key+".", v.Field(i))
		}
	}
}
