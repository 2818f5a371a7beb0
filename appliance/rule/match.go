package rule

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"griddle/appliance/job"
)

// Facts are what is known of a machine. All of it is hostile.
type Facts struct {
	MAC     string     // that it booted by, as job.NormalMAC has it
	Address netip.Addr // that its request came from; the zero value if that is not known
	Named   bool       // an operator named the machine that it says to be
	Claims  *Claims    // nil: its agent has not reported, or what it said does not count
}

// Claims are what a machine says of itself.
type Claims struct {
	Vendor string
	Model  string
	Memory int64 // bytes; 0 if it is not known
	Disks  []job.Disk
}

// Condition is one condition of a match, and what a machine has.
type Condition struct {
	Key     string `json:"key"`
	Want    string `json:"want"` // as the rule has it
	Have    string `json:"have"` // printable; "" if it is not known
	Holds   bool   `json:"holds"`
	Unknown bool   `json:"unknown,omitempty"` // nothing is known of it, so that it does not hold
}

// String says whether the condition holds, and why.
func (c Condition) String() string {
	switch {
	case c.Unknown:
		return fmt.Sprintf("%s %s: not known", c.Key, c.Want)
	case c.Holds:
		return fmt.Sprintf("%s %s: yes, %s", c.Key, c.Want, c.Have)
	}
	return fmt.Sprintf("%s %s: no, %s", c.Key, c.Want, c.Have)
}

// conditions lists the conditions of m in the order of its keys.
func (m Match) conditions(f Facts) (out []Condition) {
	add := func(key, want, have string, known, holds bool) {
		c := Condition{Key: key, Want: want, Holds: known && holds, Unknown: !known}
		if known {
			c.Have = have
		}
		out = append(out, c)
	}
	if len(m.MAC) > 0 {
		add("mac", strings.Join(m.MAC, ", "), orNone(job.Printable(f.MAC)), f.MAC != "",
			slices.ContainsFunc(m.MAC, func(p string) bool { return f.MAC == p || strings.HasPrefix(f.MAC, p+":") }))
	}
	if len(m.Subnet) > 0 {
		var all []string
		for _, s := range m.Subnet {
			all = append(all, s.String())
		}
		at := f.Address.Unmap().WithZone("")
		add("subnet", strings.Join(all, ", "), at.String(), at.IsValid(),
			slices.ContainsFunc(m.Subnet, func(s netip.Prefix) bool { return s.Contains(at) }))
	}
	if m.Named != nil {
		add("named", fmt.Sprint(*m.Named), fmt.Sprint(f.Named), true, *m.Named == f.Named)
	}
	c := f.Claims
	if c == nil {
		c = &Claims{}
	}
	if m.Vendor != "" {
		add("vendor", m.Vendor, orNone(job.Printable(c.Vendor)), f.Claims != nil, job.Fits(m.Vendor, c.Vendor))
	}
	if m.Model != "" {
		add("model", m.Model, orNone(job.Printable(c.Model)), f.Claims != nil, job.Fits(m.Model, c.Model))
	}
	if m.Memory != "" {
		low, high, err := sizes(m.Memory)
		add("memory", m.Memory, job.Binary(c.Memory), c.Memory > 0, err == nil && low <= c.Memory && c.Memory <= high)
	}
	if m.Disk != nil {
		found := m.Disk.Among(c.Disks)
		have := "it has no such disk"
		if len(found) > 0 {
			have = found[0].String()
		}
		add("disk", m.Disk.String(), have, f.Claims != nil, len(found) > 0)
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "it says none"
	}
	return s
}

// holds says whether all of them hold.
func holds(all []Condition) bool {
	return !slices.ContainsFunc(all, func(c Condition) bool { return !c.Holds })
}

// Acts returns the rule that acts for a machine, the first whose match holds; nil if there is none.
func (d Document) Acts(f Facts) *Rule {
	for i, r := range d.Rules {
		if holds(r.Match.conditions(f)) {
			return &d.Rules[i]
		}
	}
	return nil
}

// Finding is what became of one rule.
type Finding struct {
	Rule       string      `json:"rule"`
	Outcome    Outcome     `json:"outcome"`
	Conditions []Condition `json:"conditions"` // all of the match, which may have none
}

// Outcome says whether a rule acts.
type Outcome string

// The values of Outcome.
const (
	Acts   Outcome = "acts"
	Differ Outcome = "differs" // a condition does not hold
	Later  Outcome = "later"   // its match holds too, but an earlier rule acts
)

// Explain says of each rule whether it acts, which of its conditions hold, and which do not.
func (d Document) Explain(f Facts) []Finding {
	out, done := []Finding{}, false
	for _, r := range d.Rules {
		found := Finding{Rule: r.Name, Outcome: Differ, Conditions: r.Match.conditions(f)}
		if found.Conditions == nil {
			found.Conditions = []Condition{}
		}
		if holds(found.Conditions) {
			if found.Outcome = Acts; done {
				found.Outcome = Later
			}
			done = true
		}
		out = append(out, found)
	}
	return out
}

// String says what became of the rule, and which conditions decided.
func (f Finding) String() string {
	var all []string
	for _, c := range f.Conditions {
		if f.Outcome != Differ || !c.Holds {
			all = append(all, c.String())
		}
	}
	what := map[Outcome]string{Acts: "acts", Differ: "does not match", Later: "matches too, but an earlier rule acts"}
	if len(all) == 0 {
		all = []string{"it is for every machine"}
	}
	return fmt.Sprintf("%s %s: %s", f.Rule, what[f.Outcome], strings.Join(all, "; "))
}

// sizes are the bounds of a range such as "7G..16G", which both belong to it.
func sizes(text string) (low, high int64, err error) {
	from, to, is := strings.Cut(text, "..")
	if !is || from+to == "" {
		return 0, 0, errRange
	}
	high = math.MaxInt64
	if from != "" {
		low, err = job.ParseBytes(from)
	}
	if to != "" && err == nil {
		high, err = job.ParseBytes(to)
	}
	if err != nil || low > high {
		return 0, 0, errRange
	}
	return low, high, nil
}

var errRange = errors.New("it is not a range such as 7G.., 7G..16G or ..16G")
