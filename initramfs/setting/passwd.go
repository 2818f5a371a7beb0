package setting

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is a file of lines with fields between colons, such as passwd(5). Lines that are not well-formed stay as they
// are, and are never found.
type table struct {
	lines  []string // without their ends
	fields int      // of a well-formed line
}

// The number of fields of a line in each file.
const (
	passwdFields  = 7 // name, password, UID, GID, full name and more, home, shell
	shadowFields  = 9 // name, hash, day of the last change, and six limits
	groupFields   = 4 // name, password, GID, members
	gshadowFields = 4 // name, password, administrators, members
	subidFields   = 3 // name, first number, count
)

func parse(b []byte, fields int) *table {
	t := &table{fields: fields}
	for line := range strings.Lines(string(b)) {
		t.lines = append(t.lines, strings.TrimSuffix(line, "\n"))
	}
	return t
}

func (t *table) bytes() []byte {
	if len(t.lines) == 0 {
		return nil
	}
	return []byte(strings.Join(t.lines, "\n") + "\n")
}

// split is a line's fields, nil for one that is not well-formed.
func (t *table) split(line string) []string {
	if strings.Count(line, ":") != t.fields-1 || strings.HasPrefix(line, "#") {
		return nil
	}
	return strings.Split(line, ":")
}

// find is the first entry with a name, as getpwnam(3) finds it.
func (t *table) find(name string) (at int, entry []string) {
	for i, line := range t.lines {
		if !strings.HasPrefix(line, name+":") {
			continue
		}
		if f := t.split(line); f != nil {
			return i, f
		}
	}
	return -1, nil
}

// set changes the entry with the name entry[0], or adds it.
func (t *table) set(entry ...string) {
	line := strings.Join(entry, ":")
	if i, _ := t.find(entry[0]); i >= 0 {
		t.lines[i] = line
		return
	}
	// Lines for NIS are last: they let in names that others have (nsswitch.conf(5), compat).
	end := len(t.lines)
	for end > 0 && (strings.HasPrefix(t.lines[end-1], "+") || strings.HasPrefix(t.lines[end-1], "-")) {
		end--
	}
	t.lines = slices.Insert(t.lines, end, line)
}

// numbers says which name has a number, which is the third field.
func (t *table) numbers() map[int]string {
	out := map[int]string{}
	for _, line := range t.lines {
		f := t.split(line)
		if f == nil {
			continue
		}
		n, ok := number(f[2])
		if _, taken := out[n]; ok && !taken {
			out[n] = f[0]
		}
	}
	return out
}

// number reads a UID or a GID.
func number(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1 // the last one means none to chown(2)
}

// account is an entry of passwd.
type account struct {
	uid, gid    int
	home, shell string
}

func (t *table) account(name string) (account, error) {
	_, f := t.find(name)
	if f == nil {
		return account{}, lacks("it has no user %s", name)
	}
	uid, ok := number(f[2])
	gid, too := number(f[3])
	if !ok || !too {
		return account{}, lacks("the numbers of its user %s are %q and %q", name, f[2], f[3])
	}
	return account{uid, gid, f[5], f[6]}, nil
}

// gid is the number of a group.
func (t *table) gid(name string) (int, error) {
	_, f := t.find(name)
	if f == nil {
		return 0, lacks("it has no group %s", name)
	}
	n, ok := number(f[2])
	if !ok {
		return 0, lacks("the number of its group %s is %q", name, f[2])
	}
	return n, nil
}

// join adds a member to a group: the last field of group and of gshadow. Without the group nothing changes.
func (t *table) join(group, member string) {
	i, f := t.find(group)
	if i < 0 {
		return
	}
	last := len(f) - 1
	members := slices.DeleteFunc(strings.Split(f[last], ","), func(s string) bool { return s == "" })
	if !slices.Contains(members, member) {
		f[last] = strings.Join(append(members, member), ",")
		t.lines[i] = strings.Join(f, ":")
	}
}

// subIDs is how many subordinate numbers a user gets, and firstSubID the first of all (login.defs(5)).
const subIDs, firstSubID = 65536, 100000

// reserve gives a user a range of subordinate numbers above all others, if it has none. It reports whether there is
// one.
func (t *table) reserve(name string) bool {
	next := firstSubID
	for _, line := range t.lines {
		f := t.split(line)
		if f == nil {
			continue
		}
		if f[0] == name {
			return true
		}
		first, ok := number(f[1])
		count, too := number(f[2])
		if ok && too {
			next = max(next, first+count)
		}
	}
	if next+subIDs > 1<<32-1 {
		return false
	}
	t.set(name, strconv.Itoa(next), fmt.Sprint(subIDs))
	return true
}
