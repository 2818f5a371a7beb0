package plan

import (
	"fmt"
	"io"
	"strings"

	"griddle/cloud/provider"
)

// Print writes the plan for people: a line for each step that does something, then what it comes to. all adds
// those that do nothing.
func (p *Plan) Print(w io.Writer, all bool) error {
	var b strings.Builder
	wide := 0
	for _, s := range p.Steps {
		if s.Do != Nothing || all {
			wide = max(wide, len(s.Kind)+1+len(s.Name))
		}
	}
	for _, s := range p.Steps {
		if s.Do == Nothing && !all {
			continue
		}
		line := fmt.Sprintf("%-7s  %-*s", s.Do, wide, fmt.Sprintf("%s %s", s.Kind, s.Name))
		if s.Why != "" {
			line += "  " + s.Why
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	b.WriteString(p.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary says in one sentence what the plan does.
func (p *Plan) Summary() string {
	if p.Empty() {
		return fmt.Sprintf("stack %s on %s is as declared: nothing to do", p.Stack, p.Provider)
	}
	var parts []string
	for _, do := range []Do{Create, Change, Replace, Remove} {
		if n := p.Count(do); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", do, n))
		}
	}
	return fmt.Sprintf("stack %s on %s: %s", p.Stack, p.Provider, strings.Join(parts, ", "))
}

// Index finds the step of each resource.
func (p *Plan) Index() map[provider.KindName]Step {
	out := make(map[provider.KindName]Step, len(p.Steps))
	for _, s := range p.Steps {
		out[s.Kind.Named(s.Name)] = s
	}
	return out
}
