package rule

import (
	"fmt"
	"strings"
)

// String says what the document says, for people: a line for each rule, and one for each thing that it does.
func (d Document) String() string {
	var b strings.Builder
	for _, r := range d.Rules {
		fmt.Fprintf(&b, "%s: %s\n", r.Name, r.Match)
		for _, what := range r.does() {
			fmt.Fprintf(&b, "  %s\n", what)
		}
	}
	return b.String()
}

// String says for which machines it is.
func (m Match) String() string {
	var all []string
	for _, c := range m.conditions(Facts{}) {
		all = append(all, c.Key+" "+c.Want)
	}
	if len(all) == 0 {
		return "every machine"
	}
	return strings.Join(all, ", ")
}

// does says what machines get by the rule.
func (r Rule) does() (all []string) {
	if r.Waits() {
		all = append(all, "waits for approval")
	}
	if in := r.Install; in != nil {
		on := "disk " + string(in.Disk)
		if in.Layout != nil {
			on = "disks by a layout"
		}
		what := fmt.Sprintf("installs %s once on %s if that loses nothing", in.Image, on)
		if in.Settings != nil {
			what += ", with settings"
		}
		all = append(all, what)
	}
	switch {
	case r.Once:
		all = append(all, fmt.Sprintf("boots the %s once, then its disk", r.Boot))
	case r.Boot == Local:
		all = append(all, "boots its disk")
	case r.Boot != "":
		all = append(all, fmt.Sprintf("boots the %s", r.Boot))
	}
	return all
}
