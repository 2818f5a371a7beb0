// Package tarball writes the tree of an image as a tar archive.
//
// Call Write. The format is PAX (POSIX.1-2001), which GNU tar, bsdtar and Go read: each directory right before all that
// is in it; times with nanoseconds; extended attributes as SCHILY.xattr records, ACLs as SCHILY.acl records too; files
// with a mebibyte of holes or more as sparse ones in the GNU format 1.0; no sockets. Each file is compared with the
// manifest as it is written, and the same tree gives the same bytes. An error leaves the writer with a part of an
// archive without its end. Sources: tar(5), POSIX pax, the GNU tar manual ("Sparse Formats").
package tarball

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
)

// Write writes the tree in dir, whose manifest is m.
func Write(ctx context.Context, w io.Writer, dir string, m *content.Manifest, progress func(int64)) error {
	root, err := content.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	out := &writer{raw: w, tar: tar.NewWriter(w), root: root}
	// by the path that the manifest knows an inode by: its first name in the archive
	inodes := map[string]*content.Entry{}
	var done int64
	for _, e := range ordered(m.Entries) {
		if err := ctx.Err(); err != nil {
			return err
		}
		top := e
		if e.Type == content.HardLink {
			top = m.Find(e.Target)
		}
		if top == nil || top.Type == content.Socket {
			continue
		}
		h, err := header(top)
		if err != nil {
			return err
		}
		if first := inodes[top.Path]; first != nil {
			// What is said of a further name is said of the inode, by those who apply it.
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "./"+first.Path, 0
			named(h, e.Path)
			err = out.tar.WriteHeader(h)
		} else {
			if top.Type != content.Directory {
				inodes[top.Path] = e
				named(h, e.Path)
			}
			err = out.first(h, top)
			done += top.Size
			progress(done)
		}
		if err != nil {
			return fmt.Errorf("%.200q: %w", e.Path, err)
		}
	}
	return out.tar.Close()
}

// ordered sorts paths so that all below a directory follows it at once: "a", "a/b", "a-b". The manifest has them by
// their bytes, "a", "a-b", "a/b".
func ordered(entries []content.Entry) []*content.Entry {
	out := make([]*content.Entry, len(entries))
	for i := range entries {
		out[i] = &entries[i]
	}
	slices.SortFunc(out, func(a, b *content.Entry) int {
		x, y := a.Path, b.Path
		switch "." { // the root is before all
		case x:
			return -1
		case y:
			return 1
		}
		for i := range min(len(x), len(y)) {
			if x[i] != y[i] {
				return cmp.Compare(orderOf(x[i]), orderOf(y[i]))
			}
		}
		return cmp.Compare(len(x), len(y))
	})
	return out
}

// orderOf puts the slash before all other bytes.
func orderOf(c byte) int {
	if c == '/' {
		return -1
	}
	return int(c)
}

// writer writes an archive: most of it by package tar.
type writer struct {
	raw  io.Writer
	tar  *tar.Writer
	root *content.Root
}

// header says of an entry what a tar archive says.
func header(e *content.Entry) (*tar.Header, error) {
	h := &tar.Header{Format: tar.FormatPAX, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID),
		ModTime: time.Unix(e.Mtime.Sec, int64(e.Mtime.Nsec)), PAXRecords: map[string]string{}}
	switch e.Type {
	case content.Directory:
		h.Typeflag = tar.TypeDir
		named(h, e.Path+"/")
		if e.Path == "." {
			h.Name = "./"
		}
	case content.Regular:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case content.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case content.BlockDevice, content.CharDevice:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(e.Major), int64(e.Minor)
		if e.Type == content.BlockDevice {
			h.Typeflag = tar.TypeBlock
		}
	case content.Fifo:
		h.Typeflag = tar.TypeFifo
	}
	for _, x := range e.Xattrs {
		// GNU tar writes these two bytes so, since a record's key ends at the first "=".
		key := "SCHILY.xattr." + strings.NewReplacer("%", "%25", "=", "%3D").Replace(x.Name)
		h.PAXRecords[key] = string(x.Value)
		if record := paxACLs()[x.Name]; record != "" {
			text, ok := aclText(x.Value)
			if !ok {
				return nil, fmt.Errorf("%.200q: %w: its attribute %s is not an ACL", e.Path, fetch.ErrCorrupt, x.Name)
			}
			h.PAXRecords[record] = text
		}
	}
	return h, nil
}

// named gives a header its name, and says of names that are no UTF-8 that they are bytes: bsdtar
// refuses them without it.
func named(h *tar.Header, path string) {
	h.Name = "./" + path
	if !utf8.ValidString(h.Name) || !utf8.ValidString(h.Linkname) {
		h.PAXRecords["hdrcharset"] = "BINARY" // POSIX.1-2017 pax, "Extended Header Keyword"
	}
}

// first writes the first name of an inode, with its content.
func (t *writer) first(h *tar.Header, e *content.Entry) error {
	if e.Type != content.Regular {
		return t.tar.WriteHeader(h)
	}
	var st unix.Stat_t
	fd, err := t.root.Open(e.Path, &st)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.Path)
	defer f.Close()
	if st.Size != e.Size {
		return fmt.Errorf("%w: it differs from the image's content manifest", fetch.ErrCorrupt)
	}
	all, err := extents(f, e.Size)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if all == nil {
		err = t.whole(h, f, sum)
	} else {
		err = t.sparse(h, f, all, sum)
	}
	if err == nil && [32]byte(sum.Sum(nil)) != e.SHA256 {
		err = fmt.Errorf("%w: it differs from the image's content manifest", fetch.ErrCorrupt)
	}
	return err
}

func (t *writer) whole(h *tar.Header, f *os.File, sum hash.Hash) error {
	if err := t.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(t.tar, sum), io.NewSectionReader(f, 0, h.Size))
	if err == nil && n != h.Size {
		err = fmt.Errorf("%w: it became shorter", fetch.ErrCorrupt)
	}
	return err
}

// sparse writes the file's data and leaves out its holes, which count as zeros in its sum.
func (t *writer) sparse(h *tar.Header, f *os.File, all []extent, sum hash.Hash) error {
	if err := t.tar.Flush(); err != nil { // the padding of the file before
		return err
	}
	stored, err := sparseHeader(t.raw, h, all)
	if err != nil {
		return err
	}
	zeros := make([]byte, 256<<10)
	at := int64(0)
	for _, x := range all {
		for at < x.at {
			n := min(x.at-at, int64(len(zeros)))
			sum.Write(zeros[:n])
			at += n
		}
		n, err := io.Copy(io.MultiWriter(t.raw, sum), io.NewSectionReader(f, x.at, x.length))
		if err == nil && n != x.length {
			err = fmt.Errorf("%w: it became shorter", fetch.ErrCorrupt)
		}
		if err != nil {
			return err
		}
		at += n
	}
	_, err = t.raw.Write(make([]byte, padding(stored)))
	return err
}
