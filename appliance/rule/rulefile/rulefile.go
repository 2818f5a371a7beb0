// Package rulefile reads rules that people write, in YAML or JSON.
//
// Call Parse with the bytes of a file. A layout in it may have its short or its long form; the document has the long
// one. Errors list every mistake as "FILE:LINE:COLUMN: PLACE: what is wrong; what to do", and are of type
// yamltree.Faults.
//
// JSON is YAML too. Anchors, aliases, tags and a second document are refused, and a file may have at most MaxBytes. The
// package does no I/O.
package rulefile

import (
	"encoding/json"
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/layoutfile"
	"griddle/appliance/rule"
	"griddle/appliance/setting/settingfile"
	"griddle/cloud/yamltree"
)

// MaxBytes is how many bytes a file may have.
const MaxBytes = 256 << 10

// file is a file that is being read.
type file struct{ *yamltree.Reader }

// Parse reads the bytes of the file that is called name. The document that it returns is valid.
func Parse(name string, b []byte) (rule.Document, error) {
	f := file{yamltree.NewReader(name)}
	f.Places = map[string]yamltree.Place{}
	n := f.Read(b, yamltree.Options{Bytes: MaxBytes})
	if n == nil {
		return rule.Document{}, f.Faults()
	}
	f.Places[""] = n.At
	var d rule.Document
	f.Object(n, "", "document", []yamltree.Field{
		yamltree.Key("version", func(n *yamltree.Node, path string) { d.Version = f.Number(n, path, 1, 1<<20) }),
		yamltree.Key("rules", func(n *yamltree.Node, path string) {
			d.Rules = []rule.Rule{}
			f.List(n, path, rule.MaxRules, func(n *yamltree.Node, path string) {
				d.Rules = append(d.Rules, rule.Rule{})
				f.rule(n, path, &d.Rules[len(d.Rules)-1])
			})
		}),
	}, "version", "rules")
	if len(f.Faults()) == 0 {
		f.add(d.Check())
	}
	if err := f.Faults().Err(); err != nil {
		return rule.Document{}, err
	}
	if b, err := json.Marshal(d); err != nil || len(b) > rule.MaxDocument {
		return rule.Document{}, fmt.Errorf("%s: the rules have %d bytes as JSON, and the limit is %d", name, len(b),
			rule.MaxDocument)
	}
	return d, nil
}

// add gives mistakes their places in the file, or those of what they are in.
func (f file) add(all layout.Mistakes) {
	for _, m := range all {
		place := m.Place
		for {
			if _, ok := f.Places[place]; ok || place == "" {
				break
			}
			place = place[:max(0, strings.LastIndexAny(place, ".["))]
		}
		f.Wrong(f.Places[place], m.Place, m.Hint, "%s", m.Text)
	}
}

func (f file) rule(n *yamltree.Node, path string, r *rule.Rule) {
	f.Object(n, path, "rule", []yamltree.Field{
		yamltree.Key("name", f.text(&r.Name)),
		yamltree.Key("match", func(n *yamltree.Node, path string) { f.match(n, path, &r.Match) }),
		yamltree.Key("boot", func(n *yamltree.Node, path string) {
			var boot string
			f.text(&boot)(n, path)
			r.Boot = rule.Boot(boot)
		}),
		yamltree.Key("once", func(n *yamltree.Node, path string) { r.Once = f.Boolean(n, path) }),
		yamltree.Key("approval", func(n *yamltree.Node, path string) { r.Approval = f.Boolean(n, path) }),
		yamltree.Key("install", func(n *yamltree.Node, path string) {
			r.Install = &rule.Install{}
			f.install(n, path, r.Install)
		}),
	}, "name")
}

func (f file) match(n *yamltree.Node, path string, m *rule.Match) {
	f.Object(n, path, "match", []yamltree.Field{
		yamltree.Key("mac", f.few(func(n *yamltree.Node, path string) {
			if s, ok := f.Line(n, path, "the beginning of an address", rule.MaxText); ok {
				p, _ := rule.ParseMAC(s) // Check says what is wrong
				m.MAC = append(m.MAC, p)
			}
		})),
		yamltree.Key("subnet", f.few(func(n *yamltree.Node, path string) {
			s, ok := f.Line(n, path, "a subnet such as 10.2.0.0/16", rule.MaxText)
			if !ok {
				return
			}
			p, err := rule.ParseSubnet(s)
			if err != nil {
				f.Wrong(n.At, path, "", "%s is not a subnet such as 10.2.0.0/16", yamltree.Short(s))
			}
			m.Subnet = append(m.Subnet, p)
		})),
		yamltree.Key("named", func(n *yamltree.Node, path string) {
			named := f.Boolean(n, path)
			m.Named = &named
		}),
		yamltree.Key("vendor", f.text(&m.Vendor)),
		yamltree.Key("model", f.text(&m.Model)),
		yamltree.Key("memory", f.text(&m.Memory)),
		yamltree.Key("disk", func(n *yamltree.Node, path string) {
			m.Disk = &job.Match{}
			f.disk(n, path, m.Disk)
		}),
	})
}

func (f file) disk(n *yamltree.Node, path string, m *job.Match) {
	f.Object(n, path, "disk", []yamltree.Field{
		yamltree.Key("model", f.text(&m.Model)),
		yamltree.Key("serial", f.text(&m.Serial)),
		yamltree.Key("wwn", f.text(&m.WWN)),
		yamltree.Key("path", f.text(&m.Path)),
		yamltree.Key("size", f.text(&m.Size)),
		yamltree.Key("transport", f.text(&m.Transport)),
		yamltree.Key("rotational", f.text(&m.Rotational)),
	})
}

func (f file) install(n *yamltree.Node, path string, in *rule.Install) {
	f.Object(n, path, "install", []yamltree.Field{
		yamltree.Key("image", f.text(&in.Image)),
		yamltree.Key("disk", func(n *yamltree.Node, path string) {
			s, ok := f.Line(n, path, "a disk rule such as largest", 4*rule.MaxText)
			if !ok {
				return
			}
			in.Disk = job.DiskRule(s)
			if r, err := job.ParseDiskRule(s); err == nil { // otherwise Check says what is wrong
				in.Disk = r
			}
		}),
		yamltree.Key("layout", func(n *yamltree.Node, path string) {
			d := layoutfile.Read(f.Reader, n, path)
			in.Layout = &d
		}),
		yamltree.Key("settings", func(n *yamltree.Node, path string) {
			d := settingfile.Read(f.Reader, n, path)
			b, err := json.Marshal(d)
			if err != nil {
				f.Wrong(n.At, path, "", "%v", err)
				return
			}
			if !d.Empty() {
				in.Settings = b
			}
		}),
	}, "image")
}

// few reads one text or a list of them.
func (f file) few(one func(*yamltree.Node, string)) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) {
		if n.Kind == yamltree.Text {
			one(n, path)
			return
		}
		f.List(n, path, rule.MaxAny, one)
	}
}

func (f file) text(to *string) func(*yamltree.Node, string) {
	return func(n *yamltree.Node, path string) { *to, _ = f.Line(n, path, "text", 4*rule.MaxText) }
}
