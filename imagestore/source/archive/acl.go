package archive

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"griddle/imagestore/sendstream"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// The tags of entries (include/uapi/linux/posix_acl.h), whose order is also that of the entries, and what stands
// where an entry has no ID.
const (
	tagOwner   = 0x01
	tagUser    = 0x02
	tagGroup   = 0x04
	tagNamed   = 0x08 // a group by its name
	tagMask    = 0x10
	tagOther   = 0x20
	noID       = 0xffffffff
	aclVersion = 2
	aclEntries = 8 << 10 // as many as fit an attribute
)

// errUnknown is what a name gives that has no number yet.
var errUnknown = errors.New("no number is known for")

// owners are the numbers of names.
type owners struct{ users, groups map[string]uint32 }

// learn takes what an entry says of its owners.
func (o owners) learn(h *header) {
	for _, l := range []struct {
		names map[string]uint32
		name  string
		id    int
	}{{o.users, h.Uname, h.Uid}, {o.groups, h.Gname, h.Gid}} {
		if l.name != "" && l.id >= 0 && int64(l.id) < noID && len(l.names) < 1<<16 {
			if _, ok := l.names[l.name]; !ok {
				l.names[l.name] = uint32(l.id)
			}
		}
	}
}

func (o owners) id(name string, group bool) (uint32, bool) {
	names := o.users
	if group {
		names = o.groups
	}
	id, ok := names[name]
	return id, ok
}

// lookup gives the number of a user, or of a group.
type lookup func(name string, group bool) (uint32, bool)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// parseACL makes the attribute's value of an ACL as text: "user::rwx,user:lisa:r-x:502,mask::r-x", with commas or line
// ends between the entries, and comments behind "#".
func parseACL(text string, id lookup) ([]byte, error) {
	var all []aclEntry
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		e, err := parseACLEntry(line, id)
		if err != nil {
			return nil, err
		}
		if all = append(all, e); len(all) > aclEntries {
			return nil, fmt.Errorf("%w: an ACL of more than %d entries", ErrMalformed, aclEntries)
		}
	}
	slices.SortFunc(all, func(a, b aclEntry) int { return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id)) })
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	count := map[uint16]int{}
	for i, e := range all {
		if i > 0 && all[i-1].tag == e.tag && all[i-1].id == e.id {
			return nil, fmt.Errorf("%w: an ACL with two entries for one user or group: %.200q", ErrMalformed, text)
		}
		count[e.tag]++
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	if count[tagOwner] != 1 || count[tagGroup] != 1 || count[tagOther] != 1 ||
		count[tagMask] == 0 && count[tagUser]+count[tagNamed] > 0 {
		return nil, fmt.Errorf("%w: an incomplete ACL: %.200q", ErrMalformed, text)
	}
	return out, nil
}

func parseACLEntry(line string, id lookup) (aclEntry, error) {
	wrong := fmt.Errorf("%w: an ACL with %.100q", ErrMalformed, line)
	fields := strings.Split(line, ":")
	if len(fields) < 2 || len(fields) > 4 {
		return aclEntry{}, wrong
	}
	if len(fields) == 2 && (fields[0] == "mask" || fields[0] == "other") { // without the empty name, as Solaris does
		fields = []string{fields[0], "", fields[1]}
	}
	if len(fields) < 3 {
		return aclEntry{}, wrong
	}
	e := aclEntry{id: noID}
	switch fields[0] {
	case "user", "u":
		e.tag = tagOwner
	case "group", "g":
		e.tag = tagGroup
	case "mask", "m":
		e.tag = tagMask
	case "other", "o":
		e.tag = tagOther
	default:
		return aclEntry{}, wrong
	}
	for _, c := range fields[2] {
		switch c {
		case 'r':
			e.perm |= 4
		case 'w':
			e.perm |= 2
		case 'x':
			e.perm |= 1
		case '-':
		default:
			return aclEntry{}, wrong
		}
	}
	name := fields[1]
	if name == "" {
		return e, nil
	}
	switch e.tag {
	case tagOwner:
		e.tag = tagUser
	case tagGroup:
		e.tag = tagNamed
	default:
		return aclEntry{}, wrong
	}
	number := name
	if len(fields) == 4 {
		number = fields[3]
	}
	if n, err := strconv.ParseUint(number, 10, 32); err == nil && n != noID {
		e.id = uint32(n)
		return e, nil
	}
	var ok bool
	if e.id, ok = id(name, e.tag == tagNamed); !ok {
		return e, fmt.Errorf("%w %q; tar --numeric-owner writes numbers", errUnknown, name)
	}
	return e, nil
}

// setACL sets an ACL whose names the archive did not tell in time.
func (t *Tree) setACL(path, xattr, text string) error {
	value, err := parseACL(text, func(name string, group bool) (uint32, bool) {
		if id, ok := t.owners.id(name, group); ok || t.lookupOwner == nil {
			return id, ok
		}
		return t.lookupOwner(name, group)
	})
	if err != nil {
		return fmt.Errorf("ACL of %q: %w", path, err)
	}
	return t.out.Write(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: xattr, Data: value})
}
