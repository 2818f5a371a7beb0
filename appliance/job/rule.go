package job

import (
	"errors"
	"fmt"
	"strings"
)

// byPath is the directory where udev keeps the names of Disk.Place.
const byPath = "/dev/disk/by-path/"

// DiskRule selects a disk: "largest", "smallest", "serial:S", "wwn:W" or "path:/dev/P", where P may be "disk/by-path/"
// and a Disk.Place.
type DiskRule string

// ErrRule is wrapped by every error of ParseDiskRule and Pick.
var ErrRule = errors.New("disk rule")

// ParseDiskRule reads a rule as an operator types it. A bare "/dev/…" is a path.
func ParseDiskRule(s string) (DiskRule, error) {
	switch {
	case s == "largest", s == "smallest":
		return DiskRule(s), nil
	case strings.HasPrefix(s, "/dev/") && len(s) > len("/dev/"):
		return DiskRule("path:" + s), nil
	case strings.HasPrefix(s, "path:/dev/") && len(s) > len("path:/dev/"):
		return DiskRule(s), nil
	case strings.HasPrefix(s, "serial:") && len(s) > len("serial:"):
		return DiskRule(s), nil
	case strings.HasPrefix(s, "wwn:") && len(s) > len("wwn:"):
		return DiskRule(s), nil
	}
	return "", fmt.Errorf("%w %q: want largest, smallest, serial:SERIAL, wwn:NAME or path:/dev/NAME", ErrRule, s)
}

// Pick applies the rule to disks. It never guesses: if no disk matches, or several do, it returns an error that lists
// the disks and the rules that would work. It never picks a read-only disk. Removable disks, those on USB or FireWire
// (most of which do not report that they are removable) and those with several paths need a rule with a serial, WWN or
// path.
func (r DiskRule) Pick(disks []Disk) (Disk, error) {
	var found []Disk
	passed := 0
	for _, d := range disks {
		if d.ReadOnly || d.Size <= 0 {
			continue
		}
		switch s := string(r); {
		case s == "largest" || s == "smallest":
			switch {
			case d.mustBeNamed():
				passed++
			case len(found) == 0 || d.Size == found[0].Size:
				found = append(found, d)
			case (d.Size > found[0].Size) == (s == "largest"):
				found = []Disk{d}
			}
		case r.names(d):
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		why := "no disk matches"
		if passed > 0 {
			why += "; removable disks, USB disks and disks with several paths must be named by serial, WWN or path"
		}
		return Disk{}, fmt.Errorf("%w %q: %s; this machine has %s", ErrRule, Printable(string(r)), why, list(disks))
	case 1:
		return found[0], nil
	}
	return Disk{}, fmt.Errorf("%w %q: %d disks match; name one: %s; this machine has %s",
		ErrRule, Printable(string(r)), len(found), rules(found, disks), list(disks))
}

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
