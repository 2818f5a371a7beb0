package layout

import (
	"fmt"
	"strings"
)

// String says what the document says, for people: a line for each disk and for each of its partitions.
func (d Document) String() string {
	var b strings.Builder
	if d.Mirrors() {
		b.WriteString("the pool is a mirror: each of its two disks has all of it\n")
	}
	for _, disk := range d.Disks {
		what := "what the layout does not name stays"
		switch {
		case disk.Wipe:
			what = "everything on it is lost"
		case disk.Blank:
			what = "nothing must be on it"
		}
		table := disk.Table
		if table == "" {
			table = "the table that it has"
		}
		fmt.Fprintf(&b, "disk %s: %s; %s; %s\n", disk.ID, meant(disk.Match), table, what)
		for _, p := range disk.Partitions {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	d.volumes(&b)
	return b.String()
}

// meant says which disk is meant, as the keys with their values.
func meant(m Match) string {
	return pairs("size", m.Size, "model", m.Model, "serial", m.Serial, "wwn", m.WWN, "path", m.Path, "transport",
		m.Transport, "rotational", m.Rotational)
}

// String says which partition is meant, as the keys with their values.
func (w Which) String() string {
	number := ""
	if w.Number > 0 {
		number = fmt.Sprint(w.Number)
	}
	return pairs("number", number, "name", w.Name, "label", w.Label, "filesystem", w.Filesystem)
}

func pairs(keys ...string) string {
	var out []string
	for i := 0; i < len(keys); i += 2 {
		if keys[i+1] != "" {
			out = append(out, fmt.Sprintf("%s %s", keys[i], short(keys[i+1])))
		}
	}
	return strings.Join(out, ", ")
}

// String says what becomes of the partition.
func (p Partition) String() string {
	made := p.Made()
	parts := []string{p.ID}
	if p.Use != "" && p.Use != p.ID {
		parts[0] += " (" + p.Use + ")"
	}
	switch {
	case p.Shrink != nil && p.Match == nil:
		parts = append(parts, "the last one that can be shrunk")
	case p.Match != nil:
		parts = append(parts, "the partition with "+p.Match.String())
	case !p.Keep:
		parts = append(parts, made.Size.String())
	}
	if made.Filesystem != "" {
		parts = append(parts, pairs(made.Filesystem, made.Label))
		if made.Label == "" {
			parts[len(parts)-1] = made.Filesystem
		}
	}
	if made.Mount != "" {
		parts = append(parts, "at "+made.Mount)
	}
	if by := p.opened(); by != "" {
		parts = append(parts, by)
	}
	switch {
	case p.Shrink != nil:
		parts = append(parts, "shrunk "+pairs("to", p.Shrink.To.String(), "by", p.Shrink.By.String(), "to leave",
			p.Shrink.Leave.String()))
	case p.Keep:
		parts = append(parts, "must exist, and stays")
	case p.Match != nil && p.Wipe:
		parts = append(parts, "what is in it is lost")
	case p.Match != nil:
		parts = append(parts, "stays")
	case p.Wipe:
		parts = append(parts, "if it exists, what is in it is lost")
	default:
		parts = append(parts, "made where it does not exist")
	}
	return strings.Join(parts, ", ")
}
