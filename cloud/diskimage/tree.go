package diskimage

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
	blockSize  = 4096      // of the filesystems, bytes
)

// found is what was seen of a tree.
type found struct {
	entries   int64
	bytes     int64     // that the files take in blocks of blockSize that are not zero, folders, long links and attributes included
	newest    time.Time // modification of any entry
	root      *tar.Header
	fstab     []byte
	kernel    bool // it has one that GRUB looks for
	cloudInit bool
	growfs    string               // path of systemd-growfs
	packed    map[string]packed    // files whose zeros were left out, by name; nil: they are written as holes
	times     map[string]time.Time // of the entries whose modification does not fit 32 bits of seconds, by name; nil: not noted
	repart    bool
}

// rules is what must hold of a tree besides its shape.
type rules struct {
	mapped  bool // it is unpacked by an ordinary user
	dropDev bool
	solid   bool // what is written of a file takes room, zeros as well
}

// weaver copies an archive to another: the same tree, checked, in plain names, with files laid over it.
type weaver struct {
	out    *tar.Writer
	to     io.Writer // what out writes to
	rules  rules
	over   map[string]File // by name
	buffer []byte
	found  found
	seen   map[string]byte   // type of each entry that was written, by name
	links  map[string]string // targets of the symlinks among them
	packer *packer           // finds what is zero in large files; nil: does not
	swap   map[string]bool   // names that were left out since a file is laid over them
}

func newWeaver(w io.Writer, r rules, files []File) *weaver {
	v := &weaver{out: tar.NewWriter(w), to: w, rules: r, over: map[string]File{}, buffer: make([]byte, pieces), seen: map[string]byte{}, links: map[string]string{}, swap: map[string]bool{}}
	for _, f := range files {
		v.over[f.name()] = f
	}
	return v
}

// copy reads an archive to its end. keepFstab says that /etc/fstab stays; else it is kept aside in found.
func (v *weaver) copy(src io.Reader, keepFstab bool) error {
	in := tar.NewReader(src)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading archive after %d entries: %w", v.found.entries, err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if v.found.entries++; v.found.entries > maxEntries {
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

func (v *weaver) entry(h *tar.Header, content io.Reader, keepFstab bool) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root is not a folder")
		}
		v.found.root = h
	}
	was, again := v.seen[name]
	if again && (was != tar.TypeDir || h.Typeflag != tar.TypeDir) {
		return errors.New("it is in the archive twice")
	}
	if err := v.check(h, name); err != nil {
		return err
	}
	if v.rules.dropDev && (h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock) && strings.HasPrefix(name, "dev/") {
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
			v.found.fstab, err = io.ReadAll(content)
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
func (v *weaver) check(h *tar.Header, name string) error {
	if h.Uid < 0 || h.Gid < 0 || h.Uid > maxID || h.Gid > maxID {
		return fmt.Errorf("owner %d:%d is none", h.Uid, h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeReg, tar.TypeFifo:
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.ContainsRune(h.Linkname, 0) {
			return errors.New("its target is none")
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
			return fmt.Errorf("it is a further name of %.200q, which is no file before it", h.Linkname)
		}
		h.Linkname = "./" + target
	case tar.TypeChar, tar.TypeBlock:
		if v.rules.mapped && !(v.rules.dropDev && strings.HasPrefix(name, "dev/")) {
			return errors.New("a device node, which only root can make")
		}
	default:
		return fmt.Errorf("entries of type %q are not known", h.Typeflag)
	}
	for key := range h.PAXRecords {
		x, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if ok && v.rules.mapped && (strings.HasPrefix(x, "trusted.") || strings.HasPrefix(x, "security.") && x != "security.capability") {
			return fmt.Errorf("it has the attribute %.80q, which only root can set", x)
		}
	}
	return nil
}

// parents sees to it that every folder above name is one, and writes those that the archive left out.
func (v *weaver) parents(name string) error {
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
func (v *weaver) note(name string, h *tar.Header) {
	if h.ModTime.After(v.found.newest) {
		v.found.newest = h.ModTime
	}
	if h.Typeflag == tar.TypeSymlink {
		v.links[name] = h.Linkname
	}
	switch name {
	case "vmlinuz":
		v.found.kernel = true
	case "usr/bin/cloud-init":
		v.found.cloudInit = true
	case "usr/lib/systemd/systemd-growfs", "lib/systemd/systemd-growfs":
		v.found.growfs = "/" + name
	case "usr/bin/systemd-repart", "bin/systemd-repart":
		v.found.repart = true
	}
	if strings.HasPrefix(name, "boot/vmlinuz-") && h.Typeflag == tar.TypeReg {
		v.found.kernel = true
	}
}

// lay writes files behind the archive's own, symlinks on their way followed: at first those that newWeaver got, and then
// others, except for what bears the path of one of those.
func (v *weaver) lay(files []File) error {
	now := maps.Clone(v.over)
	if files != nil {
		clear(now)
		for _, f := range files {
			if _, ok := v.over[f.name()]; !ok {
				now[f.name()] = f
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

func (v *weaver) layOne(f File) error {
	dir, err := v.follow(path.Dir(f.name()), 0)
	if err != nil {
		return err
	}
	name := path.Join(dir, path.Base(f.name()))
	if t, ok := v.seen[name]; ok {
		if !f.Dir || t != tar.TypeDir {
			return fmt.Errorf("%.200q is in the image, and is reached through a link", name)
		}
	}
	if err := v.parents(name); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID, ModTime: v.found.newest, Size: int64(len(f.Content))}
	var content io.Reader = bytes.NewReader(f.Content)
	switch {
	case f.from != "":
		from, err := os.Open(f.from)
		if err != nil {
			return err
		}
		defer from.Close()
		h.Size, content = f.size, io.LimitReader(from, f.size)
	case f.Dir:
		h.Typeflag = tar.TypeDir
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	}
	return v.write(name, h, content)
}

// follow resolves the symlinks in the path of a folder within the tree, as a system that has it as its root would.
func (v *weaver) follow(dir string, depth int) (string, error) {
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
