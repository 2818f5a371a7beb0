// Package roster reads and writes lists of machines that people keep in files: YAML, and CSV for spreadsheets.
//
// Call Parse with the bytes of a file, and YAML or CSV with the machines to write. Each machine has what names it, and
// what operators wrote about it:
//
//	machines:
//	  - name: lab-1
//	    macs: [52:54:00:12:34:56]
//	    group: lab1
//	    tags: [gpu]
//	    place: room 2
//	    note: the fan is loud
//
// CSV has the columns name, macs, uuid, group, tags, place and note, in any order; several addresses or tags of a cell
// have spaces between them. A key or a column that is left out changes nothing; one that is empty
// deletes. Unknown keys and columns are mistakes, but the columns of CSV that only show something (Shown) are passed
// over.
//
// A spreadsheet takes a cell that begins with = + - @ or a tab for a formula. Cell puts an apostrophe before such text,
// and Parse takes it away.
//
// The package is pure. Its input may be hostile: it is limited by MaxBytes and MaxMachines, and errors name the place.
package roster

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"griddle/cloud/yamltree"
)

// Limits of a file.
const (
	MaxBytes    = 4 << 20
	MaxMachines = 10000
	maxText     = 4000
)

// Machine is one machine of a list. What is nil was left out.
type Machine struct {
	Name  *string   `yaml:"name,omitempty"`
	MACs  []string  `yaml:"macs,omitempty,flow"`
	UUID  string    `yaml:"uuid,omitempty"`
	Group *string   `yaml:"group,omitempty"`
	Tags  *[]string `yaml:"tags,omitempty,flow"`
	Place *string   `yaml:"place,omitempty"`
	Note  *string   `yaml:"note,omitempty"`

	// What the server knows: written to CSV, and passed over when it is read.
	State, Image, Model, Serial string `yaml:"-"`

	At string `yaml:"-"` // where it is, as FILE:LINE
}

// Key names the machine for the server: its first address, else its UUID, else its name; "" for none.
func (m Machine) Key() string {
	switch {
	case len(m.MACs) > 0:
		return m.MACs[0]
	case m.UUID != "":
		return m.UUID
	case m.Name != nil:
		return *m.Name
	}
	return ""
}

// columns are those of CSV that Parse reads, and Shown those that only show something.
var (
	columns = []string{"name", "macs", "uuid", "group", "tags", "place", "note"}
	Shown   = []string{"state", "image", "model", "serial"}
)

// Cell is text as a cell of CSV that no spreadsheet takes for a formula.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r'", rune(s[0])) {
		return "'" + s
	}
	return s
}

// uncell is the text that Cell wrote, or that a person did.
func uncell(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.ContainsRune("=+-@\t\r'", rune(s[1])) {
		return s[1:]
	}
	return s
}

// Parse reads the bytes of the file that is called name: CSV if that ends with .csv, else YAML. Errors list every
// mistake with its place.
func Parse(name string, b []byte) ([]Machine, error) {
	read := ofYAML
	if strings.HasSuffix(strings.ToLower(name), ".csv") {
		read = ofCSV
	}
	all, err := read(name, b)
	if err != nil {
		return nil, err
	}
	var wrong yamltree.Faults
	seen := map[string]string{}
	for _, m := range all {
		key := strings.ToLower(m.Key())
		switch {
		case key == "":
			wrong = append(wrong, yamltree.Fault{Text: m.At + ": the machine has no name, address or UUID"})
		case seen[key] != "":
			wrong = append(wrong, yamltree.Fault{Text: fmt.Sprintf("%s: %s was named before, at %s", m.At,
				yamltree.Short(key), seen[key])})
		}
		seen[key] = m.At
	}
	return all, wrong.Err()
}

func ofYAML(name string, b []byte) (all []Machine, err error) {
	r := yamltree.NewReader(name)
	n := r.Read(b, yamltree.Options{Bytes: MaxBytes})
	if n == nil {
		return nil, r.Faults().Err()
	}
	line := func(to **string) func(*yamltree.Node, string) {
		return func(n *yamltree.Node, path string) {
			if n.Kind == yamltree.Text && n.Value == "" {
				*to = new(string)
			} else if s, ok := r.Line(n, path, "text", maxText); ok {
				*to = &s
			}
		}
	}
	lines := func(to *[]string, most int) func(*yamltree.Node, string) {
		return func(n *yamltree.Node, path string) {
			*to = []string{}
			r.List(n, path, most, func(n *yamltree.Node, path string) {
				s, _ := r.Line(n, path, "text", 256)
				*to = append(*to, s)
			})
		}
	}
	r.Object(n, "", "list", []yamltree.Field{yamltree.Key("machines", func(n *yamltree.Node, path string) {
		r.List(n, path, MaxMachines, func(n *yamltree.Node, path string) {
			m := Machine{At: n.At.String()}
			r.Object(n, path, "machine", []yamltree.Field{
				yamltree.Key("name", line(&m.Name)), yamltree.Key("macs", lines(&m.MACs, 16)),
				yamltree.Key("uuid", func(n *yamltree.Node, path string) { m.UUID, _ = r.Line(n, path, "UUID", 64) }),
				yamltree.Key("group", line(&m.Group)),
				yamltree.Key("tags", func(n *yamltree.Node, path string) {
					m.Tags = new([]string)
					lines(m.Tags, 64)(n, path)
				}),
				yamltree.Key("place", line(&m.Place)), yamltree.Key("note", line(&m.Note)),
			})
			all = append(all, m)
		})
	})}, "machines")
	return all, r.Faults().Err()
}

func ofCSV(name string, b []byte) (all []Machine, err error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%s: it has %d bytes, and the limit is %d", name, len(b), MaxBytes)
	}
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: reading the first line, which names the columns: %w", name, err)
	}
	for i, c := range head {
		head[i] = strings.ToLower(strings.TrimSpace(c))
		known := slices.Contains(columns, head[i]) || slices.Contains(Shown, head[i])
		if !known || slices.Contains(head[:i], head[i]) {
			return nil, fmt.Errorf("%s:1: %s is not a column, or is there twice; the columns are %s", name,
				yamltree.Short(c), strings.Join(columns, ", "))
		}
	}
	rows, err := in.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) > MaxMachines {
		return nil, fmt.Errorf("%s: it has %d machines, and the limit is %d", name, len(rows), MaxMachines)
	}
	for i, row := range rows {
		m := Machine{At: fmt.Sprintf("%s, row %d", name, i+2)}
		for j, cell := range row {
			cell = uncell(strings.TrimSpace(cell))
			switch head[j] {
			case "name":
				if cell != "" {
					m.Name = &cell
				}
			case "macs":
				m.MACs = strings.Fields(cell)
			case "uuid":
				m.UUID = cell
			case "group":
				m.Group = &cell
			case "tags":
				tags := strings.Fields(cell)
				m.Tags = &tags
			case "place":
				m.Place = &cell
			case "note":
				m.Note = &cell
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// YAML writes machines as Parse reads them.
func YAML(all []Machine) ([]byte, error) {
	return yaml.Marshal(map[string][]Machine{"machines": append([]Machine{}, all...)})
}

// CSV writes machines as Parse reads them, with the columns that only show something.
func CSV(all []Machine) ([]byte, error) {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	_ = out.Write(slices.Concat(columns, Shown)) // Flush and Error say it
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, m := range all {
		var tags []string
		if m.Tags != nil {
			tags = *m.Tags
		}
		row := []string{text(m.Name), strings.Join(m.MACs, " "), m.UUID, text(m.Group), strings.Join(tags, " "),
			text(m.Place), text(m.Note), m.State, m.Image, m.Model, m.Serial}
		for i := range row {
			row[i] = Cell(row[i])
		}
		_ = out.Write(row)
	}
	out.Flush()
	return b.Bytes(), out.Error()
}
