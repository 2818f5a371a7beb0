// Package layoutfile reads layouts that people write, in YAML or JSON.
//
// Call Parse with the bytes of a file. It reads both forms of a layout, and gives the long one. Errors list every
// mistake as "FILE:LINE:COLUMN: PLACE: what is wrong; what to do", and are of type yamltree.Faults.
//
// JSON is YAML too. Anchors, aliases, tags and a second document are refused, and a file may have at most MaxBytes. The
// package does no I/O.
package layoutfile

import (
	"fmt"
	"strings"

	"griddle/appliance/layout"
	"griddle/cloud/yamltree"
)

// MaxBytes is how many bytes a file may have.
const MaxBytes = 64 << 10

// file is a file that is being read.
type file struct {
	*yamltree.Reader
	base string // the place of the layout in the file, "" if the file is a layout
}

// Parse reads the bytes of the file that is called name. The document that it returns is valid.
func Parse(name string, b []byte) (layout.Document, error) {
	r := yamltree.NewReader(name)
	r.Places = map[string]yamltree.Place{}
	n := r.Read(b, yamltree.Options{Bytes: MaxBytes})
	if n == nil {
		return layout.Document{}, r.Faults()
	}
	d := Read(r, n, "")
	if err := r.Faults().Err(); err != nil {
		return layout.Document{}, err
	}
	return d, nil
}

// Read reads the layout that is a value of another file, at path. What is wrong is among the faults of r, which must
// have Places; without faults the document is valid.
func Read(r *yamltree.Reader, n *yamltree.Node, path string) layout.Document {
	f := file{r, path}
	f.Places[path] = n.At
	if n.Find("layout") != nil {
		return f.form(n)
	}
	var d layout.Document
	before := len(f.Faults())
	f.document(n, &d)
	if len(f.Faults()) == before {
		f.add(d.Check())
	}
	return d
}

// form reads a document in its short form. What is wrong with the long one is wrong with the short one as a whole.
func (f file) form(n *yamltree.Node) layout.Document {
	var s layout.Form
	before := len(f.Faults())
	f.short(n, &s)
	if len(f.Faults()) == before {
		f.add(s.Check())
	}
	if len(f.Faults()) > before {
		return layout.Document{}
	}
	d := s.Document()
	mistakes := d.Check()
	for i := range mistakes {
		// Both forms have these keys, in other places.
		place := strings.TrimPrefix(mistakes[i].Place, "disks[0].")
		if rest, second := strings.CutPrefix(place, "disks[1].match"); second {
			place = "with" + rest
		}
		if _, shrunk, is := strings.Cut(place, "].shrink"); is {
			place = "shrink" + shrunk
		} else if _, which, is := strings.Cut(place, "].match"); is {
			place = "partition" + which
		}
		mistakes[i].Place = place
	}
	f.add(mistakes)
	return d
}

// add gives mistakes their places in the file.
func (f file) add(all layout.Mistakes) {
	for _, m := range all {
		place := f.base
		if m.Place != "" {
			place = yamltree.Below(f.base, m.Place)
		}
		f.Wrong(f.where(place), place, m.Hint, "%s", m.Text)
	}
}

// where is where the file has a value, or else what the value is in.
func (f file) where(place string) yamltree.Place {
	for {
		if at, ok := f.Places[place]; ok || place == f.base {
			return at
		}
		place = place[:max(0, strings.LastIndexAny(place, ".["))]
	}
}

func (f file) document(n *yamltree.Node, d *layout.Document) {
	f.Object(n, f.base, "document", []yamltree.Field{
		yamltree.Key("version", f.number(&d.Version, 1, 1<<20)),
		yamltree.Key("disks", func(n *yamltree.Node, path string) {
			f.List(n, path, layout.MaxDisks, func(n *yamltree.Node, path string) {
				d.Disks = append(d.Disks, layout.Disk{})
				f.disk(n, path, &d.Disks[len(d.Disks)-1])
			})
		}),
		yamltree.Key("raid", func(n *yamltree.Node, path string) {
			f.List(n, path, layout.MaxRaids, func(n *yamltree.Node, path string) {
				d.Raids = append(d.Raids, layout.Raid{})
				f.raid(n, path, &d.Raids[len(d.Raids)-1])
			})
		}),
		yamltree.Key("lvm_volgroup", func(n *yamltree.Node, path string) {
			f.List(n, path, layout.MaxGroups, func(n *yamltree.Node, path string) {
				d.Groups = append(d.Groups, layout.Group{})
				f.group(n, path, &d.Groups[len(d.Groups)-1])
			})
		}),
	}, "version", "disks")
}

func (f file) short(n *yamltree.Node, s *layout.Form) {
	f.Object(n, f.base, "form", []yamltree.Field{
		yamltree.Key("version", f.number(&s.Version, 1, 1<<20)),
		yamltree.Key("layout", func(n *yamltree.Node, path string) {
			s.Layout = f.Reference(n, path, "layout", layout.Forms)
		}),
		yamltree.Key("match", func(n *yamltree.Node, path string) { f.match(n, path, &s.Match) }),
		yamltree.Key("with", func(n *yamltree.Node, path string) {
			s.With = &layout.Match{}
			f.match(n, path, s.With)
		}),
		yamltree.Key("table", f.text(&s.Table)),
		yamltree.Key("wipe", f.truth(&s.Wipe)),
		yamltree.Key("partition", func(n *yamltree.Node, path string) {
			s.Partition = &layout.Which{}
			f.which(n, path, s.Partition)
		}),
		yamltree.Key("shrink", func(n *yamltree.Node, path string) {
			s.Shrink = &layout.Shrink{}
			f.shrink(n, path, s.Shrink)
		}),
	}, "version", "layout", "match")
}

func (f file) text(to *string) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) { *to, _ = f.Line(n, path, "text", layout.MaxText) }
}

func (f file) truth(to *bool) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) { *to = f.Boolean(n, path) }
}

func (f file) number(to *int, low, high int) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) { *to = f.Number(n, path, low, high) }
}

func (f file) size(to *layout.Size) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) {
		const what = "a size such as 20G, 500GB, 25% or rest"
		if n.Kind == yamltree.Int || n.Kind == yamltree.Float {
			f.Wrong(n.At, path, fmt.Sprintf("add the unit: %sG", n.Raw), "it must be %s, not %s", what, n.Raw)
			return
		}
		s, ok := f.Line(n, path, what, layout.MaxText)
		if !ok {
			return
		}
		var err error
		if *to, err = layout.ParseSize(s); err != nil {
			f.Wrong(n.At, path, "", "%v", err)
		}
	}
}
