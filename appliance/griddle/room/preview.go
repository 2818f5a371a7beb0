package room

import (
	"fmt"
	"io"
	"strings"

	"griddle/appliance/api"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// name is that of a machine, or what the command calls it if the server does not know it.
func name(m api.PreviewedMachine) string {
	if m.Name != "" {
		return job.Printable(m.Name)
	}
	return m.Asked
}

// writePreview writes what an order would do: each machine that loses something, or gets no job, or has a note; then
// the others in a line.
func writePreview(w io.Writer, p api.OrderPreview) error {
	var b strings.Builder
	row := func(title, text string) { fmt.Fprintf(&b, "  %-8s %s\n", title, job.Sentence(text)) }
	fmt.Fprintf(&b, "order     %s\n", p.What)
	fmt.Fprintf(&b, "machines  %s", jobs(p.Gets))
	if p.Loses > 0 {
		fmt.Fprintf(&b, "; %d of them lose data or have a filesystem made smaller", p.Loses)
	}
	b.WriteString("\n")
	plain, have := map[string][]string{}, []string{}
	var images []string
	for _, m := range p.Machines {
		if m.Has {
			have = append(have, name(m))
			continue
		}
		if m.Refused == "" && len(m.Loses)+len(m.Smaller)+len(m.Notes) == 0 {
			if plain[m.Image] == nil {
				images = append(images, m.Image)
			}
			plain[m.Image] = append(plain[m.Image], name(m))
			continue
		}
		fmt.Fprintf(&b, "%s\n", name(m))
		if m.Refused != "" {
			row("no job", m.Refused)
			continue
		}
		if m.Image != "" {
			row("gets", m.Image)
		}
		for _, line := range m.Loses {
			row("LOST", line)
		}
		for _, line := range m.Smaller {
			row("smaller", line)
		}
		for _, line := range m.Notes {
			row("note", line)
		}
	}
	for _, image := range images {
		if image == "" {
			fmt.Fprintf(&b, "%s: %s\n", p.What, strings.Join(plain[image], " "))
			continue
		}
		fmt.Fprintf(&b, "%s, and nothing is lost: %s\n", image, strings.Join(plain[image], " "))
	}
	if len(have) > 0 {
		fmt.Fprintf(&b, "have it already: %s\n", strings.Join(have, " "))
	}
	fmt.Fprintf(&b, "plan      %s\n", p.Hash)
	_, err := io.WriteString(w, b.String())
	return err
}

// counts is how many machines of an order are in which state, in a line.
func counts(c order.Counts) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.Waiting, "waiting"}, {c.Given, "with a job"}, {c.Done, "done"}, {c.Failed, "failed"}, {c.Skipped, "skipped"},
		{c.Cancelled, "cancelled"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	n, machines := c.Waiting+c.Given+c.Done+c.Failed+c.Skipped+c.Cancelled, "machines"
	if n == 1 {
		machines = "machine"
	}
	return fmt.Sprintf("Of %d %s: %s", n, machines, strings.Join(parts, ", "))
}
