// Package tree copies an image's tar archive to the archive of a disk's root: the same tree, checked, with files added
// to it. It is a function from bytes to bytes; only the buffer of Copier.Sparse is a file.
//
// Call NewCopier, Sparse if large files may have zeros, Copy, Lay and Close; Copier.Found then says what is in
// the tree. A name that leaves the tree, a path through a symlink, an entry that exists twice, and numbers out
// of bounds are errors: an image is hostile input. Attributes and owners are kept. A file that is added replaces
// the entry with its path.
//
// Sources: POSIX.1-2017 pax; tar's manual, "PAX Format, Version 1.0" (sparse files).
package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds on an image.
const (
	maxEntries = 8 << 20
	maxPath    = 4095
	maxID      = 1<<32 - 2 // of users and groups; the one above means "none"
	maxFstab   = 1 << 20   // bytes
	BlockSize  = 4096      // of the filesystems, bytes
	bufferSize = 256 << 10 // how much of a file is copied at once, bytes
)

// Summary is what a Copier found in a tree.
type Summary struct {
	Entries int64
	// that the files take in blocks of blockSize that are not zero, folders, long links and attributes included
	Bytes     int64
	Newest    time.Time // modification of any entry
	Root      *tar.Header
	Fstab     []byte
	Kernel    bool // it has one that GRUB looks for
	CloudInit bool
	Growfs    string            // path of systemd-growfs
	Packed    map[string]Packed // files whose zeros were left out, by name; nil: they are written as holes
	// of the entries whose modification does not fit 32 bits of seconds, by name; nil: not noted
	Times  map[string]time.Time
	Repart bool
}

// Rules are what a tree must satisfy besides its shape.
type Rules struct {
	Mapped      bool // it is unpacked by an ordinary user
	DropDevices bool
	Solid       bool // what is written of a file takes room, zeros as well
}

// Copier copies one archive to another: the same tree, checked, with plain names and with files added.
type Copier struct {
	out    *tar.Writer
	to     io.Writer // what out writes to
	rules  Rules
	over   map[string]File // by name
	buffer []byte
	Found  Summary
	seen   map[string]byte   // type of each entry that was written, by name
	links  map[string]string // targets of the symlinks among them
	packer *packer           // finds what is zero in large files; nil: does not
	swap   map[string]bool   // names that were left out since a file is laid over them
}

// NewCopier returns a Copier that writes to w. The files replace entries of the archive that have their
// paths; Lay adds them.
func NewCopier(w io.Writer, r Rules, files []File) *Copier {
	v := &Copier{out: tar.NewWriter(w), to: w, rules: r, over: map[string]File{}, buffer: make([]byte, bufferSize),
		seen: map[string]byte{}, links: map[string]string{}, swap: map[string]bool{}}
	for _, f := range files {
		v.over[f.Name()] = f
	}
	return v
}

// Sparse leaves out the zeros in large files from now on, and notes times that do not fit 32 bits of seconds.
// Its buffer is a nameless file in dir. With pieces, the pieces of a file that are not zero are written one
// behind the other, and Summary.Packed says which they are; without, they are written as GNU tar writes holes.
// Call done at the end.
func (v *Copier) Sparse(dir string, pieces bool) (done func() error, err error) {
	if v.packer, err = newPacker(dir); err != nil {
		return nil, err
	}
	v.Found.Times = map[string]time.Time{}
	if pieces {
		v.Found.Packed = map[string]Packed{}
	}
	return v.packer.Close, nil
}

// Close ends the archive.
func (v *Copier) Close() error { return v.out.Close() }

// Copy reads an archive to its end. keepFstab says that /etc/fstab stays; else its content is in Summary.Fstab.
func (v *Copier) Copy(src io.Reader, keepFstab bool) error {
	in := tar.NewReader(src)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading archive after %d entries: %w", v.Found.Entries, err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if v.Found.Entries++; v.Found.Entries > maxEntries {
			return fmt.Errorf("the tree has more than %d entries", maxEntries)
		}
		if err := v.entry(h, in, keepFstab); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
	// The padding behind the end of an archive: whoever writes it is not to hear of a closed pipe.
	_, err := io.Copy(io.Discard, src)
	return err
}

func (v *Copier) entry(h *tar.Header, content io.Reader, keepFstab bool) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root is not a folder")
		}
		v.Found.Root = h
	}
	was, again := v.seen[name]
	if again && (was != tar.TypeDir || h.Typeflag != tar.TypeDir) {
		return errors.New("it is in the archive twice")
	}
	if err := v.check(h, name); err != nil {
		return err
	}
	if v.rules.DropDevices && (h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock) &&
		strings.HasPrefix(name, "dev/") {
		return nil
	}
	if f, ok := v.over[name]; ok {
		if !f.Dir || h.Typeflag != tar.TypeDir {
			if h.Typeflag == tar.TypeDir {
				return errors.New("a file cannot be laid over a folder")
			}
			v.swap[name] = true
			return nil
		}
		h.Mode, h.Uid, h.Gid = int64(f.Mode), f.UID, f.GID
	}
	if name == "etc/fstab" && !keepFstab {
		v.swap[name] = true
		if h.Typeflag == tar.TypeReg && h.Size <= maxFstab {
			v.Found.Fstab, err = io.ReadAll(content)
		}
		return err
	}
	if err := v.parents(name); err != nil {
		return err
	}
	if err := v.write(name, h, content); err != nil {
		return err
	}
	v.note(name, h)
	return nil
}

// check refuses what cannot or must not be unpacked.
func (v *Copier) check(h *tar.Header, name string) error {
	if h.Uid < 0 || h.Gid < 0 || h.Uid > maxID || h.Gid > maxID {
		return fmt.Errorf("owner %d:%d is not valid", h.Uid, h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeReg, tar.TypeFifo:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.ContainsRune(h.Linkname, 0) {
			return errors.New("its target is missing or not valid")
		}
	case tar.TypeLink:
		target, err := cleanName(h.Linkname)
		if err != nil {
			return fmt.Errorf("further name of %.200q: %w", h.Linkname, err)
		}
		if t, ok := v.seen[target]; !ok || t == tar.TypeDir {
			if v.swap[target] {
				return fmt.Errorf("it is a further name of %.200q, which another file is laid over", h.Linkname)
			}
			return fmt.Errorf("it is a further name of %.200q, which is not a file before it", h.Linkname)
		}
		h.Linkname = "./" + target
	case tar.TypeChar, tar.TypeBlock:
		if v.rules.Mapped && !(v.rules.DropDevices && strings.HasPrefix(name, "dev/")) {
			return errors.New("a device node, which only root can make")
		}
	default:
		return fmt.Errorf("entries of type %q are not known", h.Typeflag)
	}
	for key := range h.PAXRecords {
		x, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if ok && v.rules.Mapped &&
			(strings.HasPrefix(x, "trusted.") || strings.HasPrefix(x, "security.") && x != "security.capability") {
			return fmt.Errorf("it has the attribute %.80q, which only root can set", x)
		}
	}
	return nil
}

// parents sees to it that every folder above name is one, and writes those that the archive left out.
func (v *Copier) parents(name string) error {
	if name == "." {
		return nil
	}
	up := path.Dir(name)
	switch t, ok := v.seen[up]; {
	case ok && t == tar.TypeDir:
		return nil
	case ok:
		return fmt.Errorf("%.200q above it is not a folder", up)
	}
	if err := v.parents(up); err != nil {
		return err
	}
	return v.write(up, &tar.Header{Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(0, 0)}, nil)
}

// note sees what matters for booting.
func (v *Copier) note(name string, h *tar.Header) {
	if h.ModTime.After(v.Found.Newest) {
		v.Found.Newest = h.ModTime
	}
	if h.Typeflag == tar.TypeSymlink {
		v.links[name] = h.Linkname
	}
	switch name {
	case "vmlinuz":
		v.Found.Kernel = true
	case "usr/bin/cloud-init":
		v.Found.CloudInit = true
	case "usr/lib/systemd/systemd-growfs", "lib/systemd/systemd-growfs":
		v.Found.Growfs = "/" + name
	case "usr/bin/systemd-repart", "bin/systemd-repart":
		v.Found.Repart = true
	}
	if strings.HasPrefix(name, "boot/vmlinuz-") && h.Typeflag == tar.TypeReg {
		v.Found.Kernel = true
	}
}

// Lay adds files behind the archive's own entries; symlinks in their paths are followed. nil adds those that NewCopier
// got. Others are added only if none of those has their path.
func (v *Copier) Lay(files []File) error {
	now := maps.Clone(v.over)
	if files != nil {
		clear(now)
		for _, f := range files {
			if _, ok := v.over[f.Name()]; !ok {
				now[f.Name()] = f
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if err := v.layOne(now[name]); err != nil {
			return fmt.Errorf("laying %.200q over the image: %w", "/"+name, err)
		}
	}
	return nil
}

func (v *Copier) layOne(f File) error {
	dir, err := v.follow(path.Dir(f.Name()), 0)
	if err != nil {
		return err
	}
	name := path.Join(dir, path.Base(f.Name()))
	if t, ok := v.seen[name]; ok {
		if !f.Dir || t != tar.TypeDir {
			return fmt.Errorf("%.200q is in the image, and is reached through a link", name)
		}
	}
	if err := v.parents(name); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID, ModTime: v.Found.Newest,
		Size: int64(len(f.Content))}
	var content io.Reader = bytes.NewReader(f.Content)
	switch {
	case f.Local != "":
		from, err := os.Open(f.Local)
		if err != nil {
			return err
		}
		defer from.Close()
		h.Size, content = f.Size, io.LimitReader(from, f.Size)
	case f.Dir:
		h.Typeflag = tar.TypeDir
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	}
	return v.write(name, h, content)
}

// follow resolves the symlinks in the path of a folder within the tree, as a system that has it as its root would.
func (v *Copier) follow(dir string, depth int) (string, error) {
	if depth > 40 {
		return "", fmt.Errorf("too many links at %.200q", dir)
	}
	at := "."
	parts := strings.Split(dir, "/")
	for i, p := range parts {
		at = path.Join(at, p)
		target, ok := v.links[at]
		if !ok {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join("/", path.Dir(at), target)
		}
		rest := path.Join(append([]string{path.Clean(target)}, parts[i+1:]...)...)
		if rest = strings.TrimPrefix(rest, "/"); rest == "" {
			rest = "."
		}
		return v.follow(rest, depth+1)
	}
	return at, nil
}

// cleanName returns the name of an entry without "./" before and "/" behind it: "." for the root itself.
func cleanName(s string) (string, error) {
	switch {
	case s == "" || strings.ContainsRune(s, 0):
		return "", errors.New("it has no name")
	case len(s) > maxPath:
		return "", fmt.Errorf("its path is longer than %d bytes", maxPath)
	case strings.HasPrefix(s, "/"):
		return "", errors.New("its path is absolute")
	}
	for p := range strings.SplitSeq(s, "/") {
		if p == ".." {
			return "", errors.New("its path leads out of the tree")
		}
		if len(p) > 255 {
			return "", errors.New("a part of its path is longer than 255 bytes")
		}
	}
	return path.Clean(s), nil
}
