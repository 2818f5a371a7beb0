package job

import (
	"fmt"
	"strings"
)

// more is what is known of a filesystem beside its format, in words to follow it; "" if nothing is.
func (p Partition) more() string {
	out := ""
	if s := Sentence(p.System); s != "" {
		out += ", " + s
	}
	if p.Used > 0 {
		out += ", " + Bytes(p.Used) + " used"
	}
	if p.Pool != nil {
		out += ", " + p.Pool.String()
	}
	return out
}

// String is the roots of a pool and the number of its images, for people.
func (p *Pool) String() string {
	var roots []string
	for i, r := range p.Roots {
		if i == 4 && len(p.Roots) > 5 {
			roots = append(roots, fmt.Sprintf("and %d more", len(p.Roots)-i))
			break
		}
		name := Printable(r.Name)
		if r.Next {
			name += " (starts next)"
		}
		roots = append(roots, name)
	}
	return fmt.Sprintf("%s: %s; %s", Count(len(p.Roots), "root"), strings.Join(roots, ", "),
		Count(len(p.Images), "image"))
}

// Count is a number of things, "1 root" or "2 roots".
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// Shrinkable says of each filesystem how small its partition may become, or why it must not be changed, one line each.
func (d Disk) Shrinkable() []string {
	var out []string
	for _, p := range d.Partitions {
		switch why := Sentence(p.Unfit); {
		case why == Hibernated:
			out = append(out, fmt.Sprintf("partition %d must not be changed: Windows is hibernated, or was shut down "+
				"with fast startup; start Windows and choose Restart", p.Number))
		case why == Unclean:
			out = append(out, fmt.Sprintf("partition %d must not be changed: its system has not finished its last "+
				"changes of it; start that system and shut it down", p.Number))
		case why == Dirty:
			out = append(out, fmt.Sprintf("partition %d must not be changed: it is marked for a check by its system",
				p.Number))
		case why != "":
			out = append(out, fmt.Sprintf("partition %d must not be changed: %s", p.Number, why))
		case p.Minimum > 0 && p.Minimum < p.Size:
			out = append(out, fmt.Sprintf("partition %d can be shrunk to %s", p.Number, Bytes(p.Minimum)))
		}
	}
	return out
}
