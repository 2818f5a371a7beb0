// Package passwd reads, changes and writes the files that say which users and groups a system has.
//
// Call Read for the files of a tree, change their tables, and call Save. Each file is lines of fields between colons:
//
//	etc/passwd          name, password, UID, GID, full name and more, home, shell
//	etc/shadow          name, hash, day of the last change, and six limits
//	etc/group           name, password, GID, members
//	etc/gshadow         name, password, administrators, members
//	etc/subuid, subgid  name, first number, count
//
// # What it guarantees
//
// The tree may be hostile: all access is package sysroot's, and a file of more than sysroot.MaxRead bytes is an error.
// Lines that are not well-formed stay as they are, in their order, and are never found. A file that does not change is
// not written.
//
// # Sources
//
// The manual pages passwd(5), shadow(5), group(5), gshadow(5), subuid(5), login.defs(5) and nsswitch.conf(5).
package passwd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Table is one file.
type Table struct {
	Lines  []string // without their ends
	fields int      // of a well-formed line
}

// The number of fields of a line in each file; subuid and subgid have SubIDFields.
const (
	UserFields    = 7
	ShadowFields  = 9
	GroupFields   = 4
	GShadowFields = 4
	SubIDFields   = 3
)

// Parse reads a file whose lines have so many fields.
func Parse(b []byte, fields int) *Table {
	t := &Table{fields: fields}
	for line := range strings.Lines(string(b)) {
		t.Lines = append(t.Lines, strings.TrimSuffix(line, "\n"))
	}
	return t
}

// Bytes is the file, nil for one without lines.
func (t *Table) Bytes() []byte {
	if len(t.Lines) == 0 {
		return nil
	}
	return []byte(strings.Join(t.Lines, "\n") + "\n")
}

// Split is a line's fields, nil for one that is not well-formed.
func (t *Table) Split(line string) []string {
	if strings.Count(line, ":") != t.fields-1 || strings.HasPrefix(line, "#") {
		return nil
	}
	return strings.Split(line, ":")
}

// Find is the first entry with a name, as getpwnam(3) finds it.
func (t *Table) Find(name string) (at int, entry []string) {
	for i, line := range t.Lines {
		if !strings.HasPrefix(line, name+":") {
			continue
		}
		if f := t.Split(line); f != nil {
			return i, f
		}
	}
	return -1, nil
}

// Set changes the entry with the name entry[0], or adds it.
func (t *Table) Set(entry ...string) {
	line := strings.Join(entry, ":")
	if i, _ := t.Find(entry[0]); i >= 0 {
		t.Lines[i] = line
		return
	}
	// Lines for NIS are last: they let in names that others have (nsswitch.conf(5), compat).
	end := len(t.Lines)
	for end > 0 && (strings.HasPrefix(t.Lines[end-1], "+") || strings.HasPrefix(t.Lines[end-1], "-")) {
		end--
	}
	t.Lines = slices.Insert(t.Lines, end, line)
}

// Numbers says which name has a number, which is the third field.
func (t *Table) Numbers() map[int]string {
	out := map[int]string{}
	for _, line := range t.Lines {
		f := t.Split(line)
		if f == nil {
			continue
		}
		n, ok := Number(f[2])
		if _, taken := out[n]; ok && !taken {
			out[n] = f[0]
		}
	}
	return out
}

// Number reads a UID or a GID.
func Number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1 // the last one means none to chown(2)
}

// Join adds a member to a group: the last field of group and of gshadow. Without the group nothing changes.
func (t *Table) Join(group, member string) {
	i, f := t.Find(group)
	if i < 0 {
		return
	}
	last := len(f) - 1
	members := slices.DeleteFunc(strings.Split(f[last], ","), func(s string) bool { return s == "" })
	if !slices.Contains(members, member) {
		f[last] = strings.Join(append(members, member), ",")
		t.Lines[i] = strings.Join(f, ":")
	}
}

// subIDs is how many subordinate numbers a user gets, and firstSubID the first of all (login.defs(5)).
const subIDs, firstSubID = 65536, 100000

// Reserve gives a user a range of subordinate numbers above all others, if it has none. It reports whether there is
// one.
func (t *Table) Reserve(name string) bool {
	next := firstSubID
	for _, line := range t.Lines {
		f := t.Split(line)
		if f == nil {
			continue
		}
		if f[0] == name {
			return true
		}
		first, ok := Number(f[1])
		count, too := Number(f[2])
		if ok && too {
			next = max(next, first+count)
		}
	}
	if next+subIDs > 1<<32-1 {
		return false
	}
	t.Set(name, strconv.Itoa(next), fmt.Sprint(subIDs))
	return true
}
