package imagestore

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
)

// Tar writes the tree of an image as a tar archive in the PAX format (POSIX.1-2001), which GNU tar, bsdtar and Go
// read: paths in the manifest's order, times with nanoseconds, and extended attributes, ACLs and capabilities among them,
// as SCHILY.xattr records (`tar -x --xattrs --xattrs-include='*'`). Holes are written as zeros. Sockets have no place in an
// archive and are left out. The same image gives the same bytes. Each file is compared with the image's signed manifest
// as it is written; an error leaves w with a part of an archive without its end. A store behind a server has the
// server make it.
func (s *Store) Tar(ctx context.Context, ref Ref, w io.Writer, progress func(phase string, done, total int64)) error {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	if c, ok := s.Catalog.(*remoteCatalog); ok {
		return c.streamTar(ctx, ref, w)
	}
	t, err := s.tree(ctx, ref, progress)
	if err != nil {
		return fmt.Errorf("archiving %s: %w", ref, err)
	}
	defer t.release()
	if err := writeTar(ctx, w, t, func(n int64) { progress("writing", n, t.Content.Size()) }); err != nil {
		return fmt.Errorf("archiving %s: %w", t.Ref, err)
	}
	return nil
}

func writeTar(ctx context.Context, w io.Writer, t *shelved, progress func(int64)) error {
	root, err := content.OpenRoot(t.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	out := tar.NewWriter(w)
	var done int64
	inodes := map[string]*content.Entry{}
	for i := range t.Content.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &t.Content.Entries[i]
		if e.Type == content.Socket || e.Type == content.HardLink && inodes[e.Target] == nil {
			continue
		}
		h := tarHeader(e)
		if e.Type == content.HardLink {
			// What is said of a further name is said of the inode, by those who apply it.
			h = tarHeader(inodes[e.Target])
			h.Name, h.Typeflag, h.Linkname, h.Size = "./"+e.Path, tar.TypeLink, "./"+e.Target, 0
		} else {
			inodes[e.Path] = e
		}
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%.200q: %w", e.Path, err)
		}
		if e.Type != content.Regular {
			continue
		}
		if err := writeTarFile(out, root, e); err != nil {
			return err
		}
		done += e.Size
		progress(done)
	}
	return out.Close()
}

// tarHeader says of an entry what a tar archive says.
func tarHeader(e *content.Entry) *tar.Header {
	h := &tar.Header{Format: tar.FormatPAX, Name: "./" + e.Path, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID),
		ModTime: time.Unix(e.Mtime.Sec, int64(e.Mtime.Nsec)), PAXRecords: map[string]string{}}
	switch e.Type {
	case content.Directory:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
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
		h.PAXRecords["SCHILY.xattr."+x.Name] = string(x.Value)
	}
	return h
}

func writeTarFile(w io.Writer, root *content.Root, e *content.Entry) error {
	var st unix.Stat_t
	fd, err := root.Open(e.Path, &st)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.Path)
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(f, e.Size))
	if err != nil {
		return fmt.Errorf("%.200q: %w", e.Path, err)
	}
	if n != e.Size || [32]byte(h.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%.200q: %w: it is not what the image's content says", e.Path, ErrCorrupt)
	}
	return nil
}
