// Package content has the content manifest of an image: what every path of the tree is. With it an installed tree can
// be checked, listed and compared without the stream that made it.
//
// A publisher gives the commands of a send stream to a Builder and gets a Manifest. All others call Parse with the
// bytes that a signed image document names by their SHA-256, and Verify to compare a tree with it.
//
// # Format
//
// Text, one line a path, each line ended by one newline:
//
//	griddle-content 1
//	d . 0755 0 0 1700000000.000000000
//	d etc 0755 0 0 1700000001.123456789
//	f etc/shadow 0640 0 42 1700000001.000000000 size=501 sha256=e3b0…b855
//	f usr/bin/ping 0755 0 0 1700000001.000000000 size=90568 sha256=… x:security.capability=AQAAAgAgAAA…
//	l etc/mtab 0777 0 0 1700000001.000000000 to=../proc/self/mounts
//	f usr/bin/perl 0755 0 0 1700000001.000000000 size=3790000 sha256=…
//	h usr/bin/perl5.36.0 to=usr/bin/perl
//	c dev/null 0666 0 0 1700000001.000000000 dev=1:3
//
// The fields are separated by one space: type, path, mode (permission bits with setuid, setgid and sticky, four octal
// digits), owner, group, modification time (seconds since 1970 and nine digits of nanoseconds; the seconds may
// be negative, the nanoseconds always count forward), then by type:
//
//	d directory    nothing more
//	f regular file size=BYTES sha256=HEX of the whole content, holes read as zeros
//	l symlink      to=TARGET; the mode is always 0777
//	b c device     dev=MAJOR:MINOR
//	p s            fifo, socket: nothing more
//	h hard link    only to=PATH, the first path in order that names the same inode, which has the other fields
//
// and then the extended attributes, x:NAME=VALUE, ordered by name, the value in standard base64 with padding. POSIX
// ACLs (system.posix_acl_access, system.posix_acl_default) and capabilities (security.capability) are extended
// attributes. The namespace btrfs. and XFS's trusted.SGI_ACL_ names are left out: they describe storage. Change
// times, access times, creation times, inode numbers, inode flags and the sizes of directories are not part of the
// content.
//
// Paths are relative, without a leading "./"; the root is ".". In paths, targets and attribute names every byte
// outside 0x21…0x7e, and "\" and "=", is written as \xHH with lower-case digits. The root comes first, then all paths
// in the order of their unescaped bytes. A manifest can be written in one way only, and Parse refuses any other, so
// its SHA-256 names the tree.
//
// # Limits
//
// A path has at most MaxPath bytes, a line MaxLine, a manifest MaxEntries paths. Parse keeps the whole manifest in
// memory, some 200 bytes a path.
package content

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

const (
	// MaxPath is the longest path and the longest symlink target, in bytes: Linux's PATH_MAX without its NUL.
	MaxPath = 4095
	// MaxLine is the longest line in bytes, newline included. It leaves room for the 64 KiB of one large
	// attribute (XATTR_SIZE_MAX) many times over.
	MaxLine = 4 << 20
	// MaxEntries is the largest number of paths.
	MaxEntries = 16 << 20
)

// Type is the first byte of an entry's line.
type Type byte

// The types of entries. HardLink is any further name of an inode that is not a directory.
const (
	Directory   Type = 'd'
	Regular     Type = 'f'
	Symlink     Type = 'l'
	BlockDevice Type = 'b'
	CharDevice  Type = 'c'
	Fifo        Type = 'p'
	Socket      Type = 's'
	HardLink    Type = 'h'
)

func (t Type) words() string {
	switch t {
	case Directory:
		return "a directory"
	case Regular:
		return "a regular file"
	case Symlink:
		return "a symbolic link"
	case BlockDevice:
		return "a block device"
	case CharDevice:
		return "a character device"
	case Fifo:
		return "a fifo"
	case Socket:
		return "a socket"
	case HardLink:
		return "a hard link"
	}
	return "of unknown type"
}

// Time is a modification time: seconds since 1970, possibly negative, and 0 to 999999999 nanoseconds after them.
type Time struct {
	Sec  int64
	Nsec int32
}

// Xattr is one extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// Entry is one path of a tree. Type says which fields count, see the package comment; the others are zero.
type Entry struct {
	Path         string // relative, unescaped; "." is the root
	Type         Type
	Mode         uint32 // permission bits, 0 to 07777
	UID, GID     uint32
	Mtime        Time
	Size         int64    // bytes, of regular files
	SHA256       [32]byte // of a regular file's content
	Target       string   // of a symlink: its text; of a hard link: the path that has the inode's entry
	Major, Minor uint32   // of devices
	Xattrs       []Xattr  // ordered by name
}

// Manifest is the content of one tree. The entries are in the order of the format, the root first.
type Manifest struct {
	Entries []Entry
}

// Size is the sum of the sizes of all regular files in bytes, each inode counted once.
func (m *Manifest) Size() int64 {
	var n int64
	for i := range m.Entries {
		n += m.Entries[i].Size
	}
	return n
}

// Find returns the entry of a path, or nil.
func (m *Manifest) Find(path string) *Entry {
	i, found := slices.BinarySearchFunc(m.Entries, path, func(e Entry, path string) int {
		switch {
		case e.Path == path:
			return 0
		case less(e.Path, path):
			return -1
		}
		return 1
	})
	if !found {
		return nil
	}
	return &m.Entries[i]
}

// Digest is the name of the manifest: "sha256:" and the hex SHA-256 of its bytes.
func (m *Manifest) Digest() string {
	h := sha256.New()
	m.WriteTo(h) // a hash never fails
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// less is the order of paths: the root first, the others by their bytes.
func less(a, b string) bool {
	if a == "." || b == "." {
		return a == "." && b != "."
	}
	return a < b
}

// parent gives the path of the directory that holds p, which is not the root.
func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return "."
}
