// Package settingfile reads settings that people write, in YAML or JSON.
//
// Call Parse for each file and Resolve with all of them, the strongest last. ParseMachines reads a file with the
// settings of several machines. Errors list every mistake as
// "FILE:LINE:COLUMN: PLACE: what is wrong; what to do", and are of type yamltree.Faults.
//
// JSON is YAML too. Anchors, aliases, tags and a second document are refused, and a file may have at most
// setting.MaxDocument bytes. The package does no I/O.
package settingfile

import (
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/cloud/yamltree"
)

// File is one file of settings.
type File struct {
	Name string
	setting.Document

	places map[string]yamltree.Place
	start  yamltree.Place // of one machine among several
}

// Parse reads the bytes of the file that is called name. An empty file has no settings.
func Parse(name string, b []byte) (File, error) {
	f := File{Name: name, places: map[string]yamltree.Place{}}
	r := yamltree.NewReader(name)
	n := r.Read(b, yamltree.Options{Bytes: setting.MaxDocument})
	if err := r.Faults().Err(); err != nil {
		return File{}, err
	}
	v := n.Plainly()
	setting.Places(v, func(place string, steps []any) { f.places[place] = follow(n, steps) })
	return f.of(v)
}

// ParseKey reads a file that has the value of one key, such as network: a document with that key alone.
func ParseKey(name, key string, b []byte) (File, error) {
	f := File{Name: name, places: map[string]yamltree.Place{}}
	r := yamltree.NewReader(name)
	n := r.Read(b, yamltree.Options{Bytes: setting.MaxDocument})
	if err := r.Faults().Err(); err != nil {
		return File{}, err
	}
	v := map[string]any{key: n.Plainly()}
	setting.Places(v, func(place string, steps []any) { f.places[place] = follow(n, steps[min(1, len(steps)):]) })
	return f.of(v)
}

// Read reads the settings that are a value of another file, at path. What is wrong is among the faults of r. If r has
// Places, those of the values are there too: path, a dot, and what setting.Mistake has.
func Read(r *yamltree.Reader, n *yamltree.Node, path string) setting.Document {
	if n.Kind == yamltree.Broken {
		return setting.Document{}
	}
	v, places := n.Plainly(), map[string]yamltree.Place{}
	setting.Places(v, func(place string, steps []any) {
		if places[place] = follow(n, steps); place != "" && r.Places != nil {
			r.Places[yamltree.Below(path, place)] = places[place]
		}
	})
	d, err := setting.New(path, v)
	if err == nil {
		return d
	}
	f, all := File{places: places}, setting.Mistakes(err)
	for _, m := range all {
		r.Wrong(f.Where(m.Place), yamltree.Below(path, m.Place), "", "%s", m.Text)
	}
	if len(all) == 0 {
		r.Wrong(n.At, path, "", "%v", err)
	}
	return setting.Document{}
}

// of gives f the document v.
func (f File) of(v any) (File, error) {
	var err error
	if f.Document, err = setting.New(f.Name, v); err != nil {
		return File{}, faults(err, func(string) *File { return &f }, f.Name)
	}
	return f, nil
}

// Resolve merges files, of which later ones win, and makes the settings of one machine.
func Resolve(machine setting.Machine, files ...File) (setting.Merged, setting.Settings, error) {
	var all []setting.Document
	name := ""
	for _, f := range files {
		all = append(all, f.Document)
		name = f.Name
	}
	m := setting.Merge(all...)
	s, err := m.Resolve(machine)
	if err == nil {
		return m, s, nil
	}
	return m, s, faults(err, func(place string) *File {
		from := m.From(place)
		// Of two files with one name the last has the value.
		for i := range slices.Backward(files) {
			if files[i].Name == from {
				return &files[i]
			}
		}
		return nil
	}, name)
}

// follow is where the node is that keys and indexes lead to.
func follow(n *yamltree.Node, steps []any) yamltree.Place {
	at := n.At
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			for _, e := range n.Keys {
				if e.Name == s {
					at, n = e.At, e.Value
				}
			}
		case int:
			n = n.Items[s]
			at = n.At
		}
	}
	return at
}

// faults gives each mistake its place in the file that has the value, or what the value is in.
func faults(err error, has func(place string) *File, name string) error {
	mistakes := setting.Mistakes(err)
	if len(mistakes) == 0 {
		return yamltree.Faults{{Place: yamltree.Place{File: name}, Text: err.Error()}}
	}
	var out yamltree.Faults
	for _, m := range mistakes {
		at := yamltree.Place{File: name}
		if f := has(m.Place); f != nil {
			at = f.Where(m.Place)
		}
		out = append(out, yamltree.Fault{Place: at, Path: m.Place, Text: m.Text})
	}
	return out.Sorted()
}

// Where is where the file has a value, such as users[ada].keys[0], or else what the value is in.
func (f *File) Where(place string) yamltree.Place {
	for {
		if at, ok := f.places[place]; ok {
			return at
		}
		i := strings.LastIndexAny(place, ".[")
		if i < 0 {
			return f.whole()
		}
		place = place[:i]
	}
}

// whole is the place of what has no place of its own.
func (f *File) whole() yamltree.Place {
	if f.start.Line > 0 {
		return f.start
	}
	return yamltree.Place{File: f.Name}
}
