package archive

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"griddle/imagestore/sendstream"
)

// metadata writes owner, mode and attributes. The order matters: a change of the owner takes away what comes behind it.
func (t *Tree) metadata(n *node, path string, h *header, hasMode bool) error {
	if h.Uid < 0 || int64(h.Uid) >= math.MaxUint32 || h.Gid < 0 || int64(h.Gid) >= math.MaxUint32 {
		return fmt.Errorf("%w: owner %d:%d", ErrMalformed, h.Uid, h.Gid)
	}
	if err := t.out.Write(&sendstream.Command{Op: sendstream.OpChown, Path: path, UID: uint64(h.Uid),
		GID: uint64(h.Gid)}); err != nil {
		return err
	}
	if hasMode {
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpChmod, Path: path,
			Mode: uint64(h.Mode & 0o7777)}); err != nil {
			return err
		}
	}
	xattrs, err := t.xattrs(n, h)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(xattrs))
	for name := range xattrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if n.dir != nil && name == aclDefault {
			n.dir.preset = []byte(xattrs[name])
			if err := t.remember(len(xattrs[name])); err != nil {
				return err
			}
			continue // what is made in the directory must not inherit it
		}
		if n.dir != nil {
			n.dir.xattrs = append(n.dir.xattrs, name)
			if err := t.remember(len(name)); err != nil {
				return err
			}
		}
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: name,
			Data: []byte(xattrs[name])}); err != nil {
			return err
		}
	}
	return nil
}

const (
	paxXattr      = "SCHILY.xattr."
	paxACL        = "SCHILY.acl."
	maxXattrName  = 255   // XATTR_NAME_MAX
	maxXattrValue = 65535 // one less than XATTR_SIZE_MAX: what a command can hold
)

// xattrs gives the extended attributes of an entry, ACLs among them. What of an ACL has to wait goes to n.acl.
func (t *Tree) xattrs(n *node, h *header) (map[string]string, error) {
	var all map[string]string
	set := func(name, value string) error {
		if name == "" || len(name) > maxXattrName || strings.IndexByte(name, 0) >= 0 || len(value) > maxXattrValue {
			return fmt.Errorf("%w: attribute %.100q of %d bytes", ErrMalformed, name, len(value))
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
		return nil
	}
	pending := texts{}
	for key, text := range h.PAXRecords {
		kind, ok := strings.CutPrefix(key, paxACL)
		if !ok || text == "" {
			continue
		}
		var to *string
		name := aclAccess
		switch kind {
		case "access":
			to = &pending.access
		case "default":
			to, name = &pending.preset, aclDefault
		default:
			return nil, fmt.Errorf("%w: %q is not supported", ErrMalformed, key)
		}
		if _, ok := h.PAXRecords[paxXattr+name]; ok {
			continue // which says it in numbers
		}
		value, err := parseACL(text, t.owners.id)
		if errors.Is(err, errUnknown) {
			*to = text
			if err := t.remember(len(text)); err != nil {
				return nil, err
			}
			continue
		}
		if err == nil {
			err = set(name, string(value))
		}
		if err != nil {
			return nil, err
		}
	}
	if pending != (texts{}) {
		n.acl = &pending
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || strings.HasPrefix(name, "btrfs.") {
			continue
		}
		name = strings.NewReplacer("%3D", "=", "%25", "%").Replace(name)
		if err := set(name, value); err != nil {
			return nil, err
		}
	}
	return all, nil
}
