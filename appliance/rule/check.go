package rule

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
)

// Bounds of a document.
const (
	MaxRules = 256
	MaxAny   = 64  // addresses, and subnets, of one match
	MaxText  = 128 // bytes of a text
)

// checker collects the mistakes of a document.
type checker struct{ all layout.Mistakes }

func (c *checker) wrong(place, hint, format string, args ...any) {
	c.all = append(c.all, layout.Mistake{Place: place, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// Check finds all mistakes, in the order of the document. Places are such as rules[2].match.mac[0].
func (d Document) Check() layout.Mistakes {
	c := checker{}
	if d.Version != Version {
		c.wrong("version", "", "this program knows version %d", Version)
	}
	if n := len(d.Rules); n > MaxRules {
		c.wrong("rules", "", "%d rules are more than the %d that are allowed", n, MaxRules)
		return c.all
	}
	seen, last := map[string]int{}, ""
	for i, r := range d.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if !validName.MatchString(r.Name) {
			c.wrong(at+".name", "", "%q is not a name: a to z, 0 to 9 and hyphens, a letter first, at most 32",
				job.Printable(r.Name))
		} else if first, twice := seen[r.Name]; twice {
			c.wrong(at+".name", "", "rules[%d] has the same name", first)
		} else {
			seen[r.Name] = i
		}
		if last != "" {
			c.wrong(at, "move it up", "it never acts: rule %s before it is for every machine", last)
		} else if len(r.Match.conditions(Facts{})) == 0 {
			last = job.Printable(r.Name)
		}
		c.rule(at, r)
	}
	return c.all
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func (c *checker) rule(at string, r Rule) {
	c.match(at+".match", r.Match)
	if r.Boot != "" && !slices.Contains(Boots, r.Boot) {
		c.wrong(at+".boot", "", "%q is not menu, agent or local", job.Printable(string(r.Boot)))
	}
	if r.Once && r.Boot != Menu && r.Boot != Agent {
		c.wrong(at+".once", "add boot: agent or boot: menu, or leave it out",
			"it is for boot: agent and boot: menu: after that the machine boots its disk")
	}
	if r.Boot == "" && !r.Approval && r.Install == nil {
		c.wrong(at, "add boot, approval or install", "it does nothing")
	}
	if r.Install != nil {
		c.install(at+".install", r.Name, *r.Install)
	}
}

func (c *checker) match(at string, m Match) {
	c.few(at+".mac", len(m.MAC), m.MAC != nil)
	for i, p := range m.MAC {
		if !macPrefix.MatchString(p) {
			c.wrong(fmt.Sprintf("%s.mac[%d]", at, i), "write whole bytes from the first on, such as 52:54:00",
				"%q is not the beginning of an address", job.Printable(p))
		}
	}
	c.few(at+".subnet", len(m.Subnet), m.Subnet != nil)
	for i, s := range m.Subnet {
		if !s.IsValid() || s.Masked() != s || s.Addr().Is4In6() {
			hint := ""
			if s.IsValid() && !s.Addr().Is4In6() {
				hint = "write " + s.Masked().String()
			}
			c.wrong(fmt.Sprintf("%s.subnet[%d]", at, i), hint, "%s is not a subnet", s)
		}
	}
	c.pattern(at+".vendor", m.Vendor)
	c.pattern(at+".model", m.Model)
	if _, _, err := sizes(m.Memory); m.Memory != "" && err != nil {
		c.wrong(at+".memory", "", "%q: %v", job.Printable(m.Memory), err)
	}
	if m.Disk != nil {
		if *m.Disk == (job.Match{}) {
			c.wrong(at+".disk", "write what a disk is like, such as {size: 200G..}", "it says nothing")
		}
		m.Disk.Check(func(key, hint, what string) { c.wrong(at+".disk."+key, hint, "%s", what) })
	}
}

// macPrefix is the beginning of an address, as job.NormalMAC writes addresses.
var macPrefix = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){0,5}$`)

// few refuses a list that is too long, and one that is empty: that would make the rule one for every machine.
func (c *checker) few(at string, n int, given bool) {
	if given && n == 0 {
		c.wrong(at, "leave it out to match every machine", "the list is empty")
	}
	if n > MaxAny {
		c.wrong(at, "", "%d entries are more than the %d that are allowed", n, MaxAny)
	}
}

func (c *checker) pattern(at, value string) {
	if value != "" && strings.Trim(value, "*?") == "" {
		c.wrong(at, "leave it out, or write a part of the name", "%q fits everything", job.Printable(value))
	}
	c.text(at, value)
}

func (c *checker) text(at, value string) bool {
	ok := len(value) <= MaxText && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
	if !ok {
		c.wrong(at, "", "it has more than %d bytes, or control characters", MaxText)
	}
	return ok
}

func (c *checker) install(at, name string, in Install) {
	if in.Image == "" {
		c.wrong(at+".image", "write a template, such as image: web", "it is empty")
	}
	c.text(at+".image", in.Image)
	switch {
	case in.Disk == "" && in.Layout == nil:
		c.wrong(at, "add disk: largest, or a layout", "it does not say which disk")
	case in.Disk != "" && in.Layout != nil:
		c.wrong(at+".layout", "leave out one of them", "it says which disks are meant, and so does disk")
	case in.Layout == nil:
		if r, err := job.ParseDiskRule(string(in.Disk)); err != nil || len(in.Disk) > 4*MaxText {
			c.wrong(at+".disk", "", "%q is not a disk rule: want largest, smallest, serial:SERIAL, wwn:NAME, "+
				"path:/dev/NAME or match:KEY=VALUE,…", job.Printable(string(in.Disk)))
		} else if r != in.Disk {
			c.wrong(at+".disk", "write "+string(r), "it is not in its normal form")
		}
	default:
		c.layout(at+".layout", *in.Layout)
	}
	if in.Settings != nil {
		c.settings(at+".settings", name, in.Settings)
	}
}

// layout refuses a layout that allows the loss of data: no one has agreed to what it would lose on the machines that it
// may meet.
func (c *checker) layout(at string, d layout.Document) {
	const hint = "leave it out; order such an install with `griddle machine install --layout`"
	for _, m := range d.Check() {
		m.Place = below(at, m.Place)
		c.all = append(c.all, m)
	}
	for i, disk := range d.Disks {
		at := fmt.Sprintf("%s.disks[%d]", at, i)
		if disk.Wipe {
			c.wrong(at+".wipe", hint, "a rule never overwrites data")
		}
		for j, p := range disk.Partitions {
			at := fmt.Sprintf("%s.partitions[%d]", at, j)
			if p.Wipe {
				c.wrong(at+".wipe", hint, "a rule never overwrites data")
			}
			if p.Shrink != nil {
				c.wrong(at+".shrink", hint, "a rule makes no filesystem smaller")
			}
		}
	}
}

// settings refuses settings with mistakes or secrets: they are for boots that no one has approved.
func (c *checker) settings(at, name string, b []byte) {
	d, err := setting.Decode("rule "+name, b)
	if err == nil {
		var s setting.Settings
		if s, err = setting.Merge(d).Resolve(setting.PartOfMachine); err == nil {
			for _, place := range s.Secrets() {
				c.wrong(below(at, place), "give it with `griddle machine set`, or in the settings of the site",
					"it is a secret, and rules give no secrets")
			}
			return
		}
	}
	all := setting.Mistakes(err)
	for _, m := range all {
		c.wrong(below(at, m.Place), "", "%s", m.Text)
	}
	if len(all) == 0 {
		c.wrong(at, "", "%v", err)
	}
}

// below is a place in a document that is inside of another one.
func below(at, place string) string {
	if place == "" {
		return at
	}
	return at + "." + place
}

// ParseMAC reads the beginning of an address as people write it.
func ParseMAC(text string) (prefix string, ok bool) {
	p := strings.TrimSuffix(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "-", ":")), ":")
	p = strings.TrimSuffix(p, ":*")
	return p, macPrefix.MatchString(p)
}

// ParseSubnet reads a subnet; one address is a subnet of its own.
func ParseSubnet(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}
