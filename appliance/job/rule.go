package job

import (
	"errors"
	"fmt"
	"strings"
)

// byPath is the directory where udev keeps the names of Disk.Place.
const byPath = "/dev/disk/by-path/"

// DiskRule selects a disk: "largest", "smallest", "serial:S", "wwn:W", "path:/dev/P", where P may be "disk/by-path/"
// and a Disk.Place, or "match:" and a Match.
type DiskRule string

// ErrRule is wrapped by every error of ParseDiskRule and Pick.
var ErrRule = errors.New("disk rule")

// ParseDiskRule reads a rule as an operator types it. A bare "/dev/…" is a path. The keys of a match come in one order.
func ParseDiskRule(s string) (DiskRule, error) {
	switch {
	case s == Largest, s == Smallest:
		return DiskRule(s), nil
	case strings.HasPrefix(s, "/dev/") && len(s) > len("/dev/"):
		return DiskRule("path:" + s), nil
	case strings.HasPrefix(s, "path:/dev/") && len(s) > len("path:/dev/"):
		return DiskRule(s), nil
	case strings.HasPrefix(s, "serial:") && len(s) > len("serial:"):
		return DiskRule(s), nil
	case strings.HasPrefix(s, "wwn:") && len(s) > len("wwn:"):
		return DiskRule(s), nil
	case strings.HasPrefix(s, matchPrefix):
		m, err := ParseMatch(strings.TrimPrefix(s, matchPrefix))
		if err != nil {
			return "", fmt.Errorf("%w %q: %w", ErrRule, Sentence(s), err)
		}
		return DiskRule(matchPrefix + m.String()), nil
	}
	return "", fmt.Errorf("%w %q: want largest, smallest, serial:SERIAL, wwn:NAME, path:/dev/NAME or match:KEY=VALUE,…",
		ErrRule, s)
}

// Pick applies the rule to disks. It never guesses: if no disk matches, or several do, it returns an error that lists
// the disks and the rules that would work. It never picks a read-only disk. Removable disks, those on USB or FireWire
// (most of which do not report that they are removable) and those with several paths need a rule with a serial, WWN or
// path.
func (r DiskRule) Pick(disks []Disk) (Disk, error) {
	found, passed, err := r.choose(disks)
	if err != nil {
		return Disk{}, err
	}
	switch len(found) {
	case 0:
		why := "no disk matches"
		if passed > 0 {
			why += "; " + nameThem
		}
		return Disk{}, fmt.Errorf("%w %q: %s; this machine has %s", ErrRule, Sentence(string(r)), why, list(disks))
	case 1:
		return found[0], nil
	}
	return Disk{}, fmt.Errorf("%w %q: %d disks match; name one: %s; this machine has %s",
		ErrRule, Sentence(string(r)), len(found), rules(found, disks), list(disks))
}

// choose returns the disks that the rule picks from, and how many were passed over because they must be named.
func (r DiskRule) choose(disks []Disk) (found []Disk, passed int, err error) {
	if text, ok := strings.CutPrefix(string(r), matchPrefix); ok {
		m, err := ParseMatch(text)
		if err != nil {
			return nil, 0, fmt.Errorf("%w %q: %w", ErrRule, Sentence(string(r)), err)
		}
		found, passed = m.choose(disks)
		return found, passed, nil
	}
	if r == Largest || r == Smallest {
		found, passed = Match{Size: string(r)}.choose(disks)
		return found, passed, nil
	}
	for _, d := range disks {
		if !d.ReadOnly && d.Size > 0 && r.names(d) {
			found = append(found, d)
		}
	}
	return found, 0, nil
}

// IsMatch reports whether the rule is a Match, which only agents with FeatureMatch know.
func (r DiskRule) IsMatch() bool { return strings.HasPrefix(string(r), matchPrefix) }

// names says whether the rule names d.
func (r DiskRule) names(d Disk) bool {
	kind, name, _ := strings.Cut(string(r), ":")
	switch kind {
	case "serial":
		return name != "" && name == d.Serial
	case "wwn":
		return name != "" && name == d.WWN
	case "path":
		return d.hasPath(name) || d.Place != "" && name == byPath+d.Place
	}
	return false
}

// mustBeNamed says whether no rule picks this disk by what it is like: people plug it in and take it away, or it has
// several paths, as shared storage has.
func (d Disk) mustBeNamed() bool {
	return d.Removable || d.Bus == "usb" || d.Bus == "firewire" || len(d.Paths) > 1
}

// rules lists for each of found the rule that picks it among disks.
func rules(found, disks []Disk) string {
	var out []string
	for i, d := range found {
		if i == 4 {
			out = append(out, "…")
			break
		}
		rule, _ := d.NameAmong(disks)
		out = append(out, string(rule))
	}
	return strings.Join(out, ", ")
}

func list(disks []Disk) string {
	if len(disks) == 0 {
		return "no disk"
	}
	var have []string
	for _, d := range disks {
		have = append(have, d.String())
	}
	return strings.Join(have, "; ")
}

// NameAmong returns a name of d that no other disk in disks has, and the rule that picks d by it: the serial or the
// WWN, which stay with the disk, else its place, which stays with the cable, else its path, which may change at the
// next boot.
func (d Disk) NameAmong(disks []Disk) (DiskRule, string) {
	for _, c := range []struct{ kind, name string }{{"serial:", d.Serial}, {"wwn:", d.WWN}, {"path:", d.placePath()}} {
		if c.name == "" || len(c.name) > maxText || Sentence(c.name) != c.name {
			continue
		}
		alone := true
		for _, o := range disks {
			alone = alone && (o.Path == d.Path || !o.Named(c.name))
		}
		if alone {
			return DiskRule(c.kind + c.name), c.name
		}
	}
	return DiskRule("path:" + d.Path), d.Path
}

func (d Disk) placePath() string {
	if d.Place == "" {
		return ""
	}
	return byPath + d.Place
}

// Named says whether name is the disk's serial, WWN, path, path by place or bare device name, as a user types it to
// allow the loss of its data. The empty string names no disk.
func (d Disk) Named(name string) bool {
	name = strings.TrimSpace(name)
	return name != "" &&
		(name == d.Serial || name == d.WWN || name == d.placePath() || d.hasPath(name) || d.hasPath("/dev/"+name))
}
