package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// idRange maps count ids: inside of a container they begin with inside, on disk with host.
type idRange struct{ inside, host, count uint32 }

// idMap brings ids that a user namespace has shifted back to what they are inside of it.
type idMap struct{ users, groups []idRange }

// parseIDMap reads lxc.idmap: "u 0 100000 65536" (lxc.container.conf(5)).
func parseIDMap(lines []string) (*idMap, error) {
	m := &idMap{}
	for _, line := range lines {
		fields := strings.Fields(line)
		var r idRange
		ok := len(fields) == 4
		for i, to := range []*uint32{&r.inside, &r.host, &r.count} {
			if ok {
				n, err := strconv.ParseUint(fields[i+1], 10, 32)
				*to, ok = uint32(n), err == nil
			}
		}
		if !ok || r.count == 0 || uint64(r.inside)+uint64(r.count) > noID || uint64(r.host)+uint64(r.count) > noID {
			return nil, fmt.Errorf("%w: lxc.idmap = %s is not valid", ErrUnsuitable, line)
		}
		switch fields[0] {
		case "u":
			m.users = append(m.users, r)
		case "g":
			m.groups = append(m.groups, r)
		case "b":
			m.users, m.groups = append(m.users, r), append(m.groups, r)
		default:
			return nil, fmt.Errorf("%w: lxc.idmap = %s is not valid", ErrUnsuitable, line)
		}
	}
	return m, nil
}

// noID is what stands for no owner, as in chown(2).
const noID = 0xffffffff

func back(ranges []idRange, what string, id uint32) (uint32, error) {
	for _, r := range ranges {
		if id >= r.host && id-r.host < r.count {
			return id - r.host + r.inside, nil
		}
	}
	return 0, fmt.Errorf("%w: the %s %d is not one of the container's", ErrUnsuitable, what, id)
}

// apply shifts the owners of everything below dir back, those in ACLs and in capabilities too. Nothing else must work
// on dir. Times of change but for the inode's own stay.
func (m *idMap) apply(ctx context.Context, dir string) error {
	root, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	w := &shifter{ctx: ctx, m: m, done: map[inode]bool{}, names: make([]byte, xattrListMax),
		value: make([]byte, xattrSizeMax)}
	err = w.inode(int(root.Fd()), "", "/")
	if err == nil {
		err = w.directory(root, "")
	}
	if err != nil {
		return fmt.Errorf("shifting owners back: %w", err)
	}
	return nil
}

type inode struct{ dev, ino uint64 }

const (
	xattrListMax = 1 << 16 // limits.h
	xattrSizeMax = 1 << 16
)

type shifter struct {
	ctx          context.Context
	m            *idMap
	done         map[inode]bool // files with several names
	names, value []byte
}

func (w *shifter) directory(dir *os.File, path string) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		below := path + "/" + name
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("looking at %s: %w", below, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			key := inode{st.Dev, st.Ino}
			if w.done[key] {
				continue
			}
			w.done[key] = true
		}
		if err := w.inode(int(dir.Fd()), name, below); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		fd, err := unix.Openat(int(dir.Fd()), name,
			unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NOATIME|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", below, err)
		}
		f := os.NewFile(uintptr(fd), below)
		err = w.directory(f, below)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// inode shifts what is at name in a directory, or the directory itself where name is "". What a change of the owner
// takes away, set-user-ID bits and capabilities, is put back.
func (w *shifter) inode(dir int, name, path string) error {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	at := fmt.Sprintf("/proc/self/fd/%d/%s", dir, name) // its last part is not followed
	if name == "" {
		flags, at = unix.AT_EMPTY_PATH, fmt.Sprintf("/proc/self/fd/%d/.", dir)
	}
	if err := unix.Fstatat(dir, name, &st, flags); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	uid, err := back(w.m.users, "user", st.Uid)
	gid, gerr := back(w.m.groups, "group", st.Gid)
	if err = errors.Join(err, gerr); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n, err := unix.Llistxattr(at, w.names)
	if err != nil {
		return fmt.Errorf("attributes of %s: %w", path, err)
	}
	type attribute struct {
		name  string
		value []byte
	}
	var change []attribute
	for _, x := range splitNul(w.names[:n]) {
		convert := w.m.acl
		switch x {
		case "system.posix_acl_access", "system.posix_acl_default":
		case "security.capability":
			convert = w.m.capability
		default:
			continue
		}
		k, err := unix.Lgetxattr(at, x, w.value)
		if err != nil {
			return fmt.Errorf("attribute %s of %s: %w", x, path, err)
		}
		v, err := convert(slices.Clone(w.value[:k]))
		if err != nil {
			return fmt.Errorf("attribute %s of %s: %w", x, path, err)
		}
		change = append(change, attribute{x, v})
	}
	if err := unix.Fchownat(dir, name, int(uid), int(gid), flags); err != nil {
		return fmt.Errorf("changing owner of %s: %w", path, err)
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(at, st.Mode&0o7777); err != nil {
			return fmt.Errorf("changing mode of %s: %w", path, err)
		}
	}
	for _, x := range change {
		if err := unix.Lsetxattr(at, x.name, x.value, 0); err != nil {
			return fmt.Errorf("setting attribute %s of %s: %w", x.name, path, err)
		}
	}
	return nil
}

// acl shifts the ids in a POSIX ACL (include/uapi/linux/posix_acl_xattr.h: a version, u32; entries of tag u16,
// permissions u16, id u32).
func (m *idMap) acl(b []byte) ([]byte, error) {
	if len(b) < 4 || len(b)%8 != 4 || binary.LittleEndian.Uint32(b) != 2 {
		return nil, fmt.Errorf("%w: %d bytes are not an ACL", ErrUnsuitable, len(b))
	}
	for e := b[4:]; len(e) > 0; e = e[8:] {
		var err error
		id := binary.LittleEndian.Uint32(e[4:])
		switch binary.LittleEndian.Uint16(e) {
		case 2: // ACL_USER
			id, err = back(m.users, "user", id)
		case 8: // ACL_GROUP
			id, err = back(m.groups, "group", id)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(e[4:], id)
	}
	return b, nil
}

// The versions of file capabilities (include/uapi/linux/capability.h): magic u32, permitted and inheritable u32 twice,
// and in version 3 the id of the user namespace's root, u32.
const (
	capMask    = 0xff000000
	capV2      = 0x02000000
	capV3      = 0x03000000
	capV2Bytes = 20
	capV3Bytes = 24
)

// capability makes a capability of the container's root one of root, which is version 2.
func (m *idMap) capability(b []byte) ([]byte, error) {
	if len(b) < capV2Bytes {
		return nil, fmt.Errorf("%w: %d bytes are not capabilities", ErrUnsuitable, len(b))
	}
	magic := binary.LittleEndian.Uint32(b)
	if magic&capMask != capV3 || len(b) != capV3Bytes {
		return nil, fmt.Errorf("%w: the capabilities are for the host's root, and not valid in the container",
			ErrUnsuitable)
	}
	root, err := back(m.users, "user", binary.LittleEndian.Uint32(b[capV2Bytes:]))
	if err != nil {
		return nil, err
	}
	if root != 0 {
		binary.LittleEndian.PutUint32(b[capV2Bytes:], root)
		return b, nil
	}
	binary.LittleEndian.PutUint32(b, magic&^uint32(capMask)|capV2)
	return b[:capV2Bytes], nil
}
