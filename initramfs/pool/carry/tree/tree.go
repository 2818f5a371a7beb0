// Package tree copies from one root to another what was changed since a third: the image of the first.
//
// Call Carry with a path. It compares the file or the folder that has it in Old and in Image: kind, mode, owner,
// extended attributes, content or target; not times. What is the same stays as New has it. What differs replaces what
// New has.
//
//	Old      Image     what New gets
//	a file   the same  nothing: what it has stays
//	a file   another   the file of Old
//	a file   -         the file of Old
//	-        a file    nothing; with Options.Delete what it has is deleted
//
// Files come as clones that share their blocks, where the filesystem can do that, else with their holes. With them come
// mode, owner, times, extended attributes, ACLs, capabilities, and the hard links that are below the same path. Owners
// are the numbers that Options.UID and GID give. Symlinks come as symlinks. Pipes, sockets and devices stay behind, but
// for those by which overlayfs marks what is deleted.
//
// # What it guarantees
//
// The symlinks above the path lead where the started system has them, and never out of their root; below the path no
// symlink is followed. Folders may be as deep as they like: the walk has one folder of each tree open at a time. What
// is mounted in Old is left.
//
// Old and Image must not change meanwhile, and a change of one makes an error or a mix, but leads nowhere else. Nothing
// is synced. A Carry that is repeated gives the same tree.
//
// Sources: path_resolution(7), statx(2), ioctl_ficlone(2), acl(5), and Documentation/filesystems/overlayfs of the
// kernel.
package tree

import (
	"context"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"griddle/initramfs/sysroot"
)

// Roots are the trees; Image may be nil, then all that Old has was changed.
type Roots struct{ Old, Image, New *os.Root }

// Options say how to carry. The zero value carries every path, with the owners of Old.
type Options struct {
	Delete   bool                   // what was deleted in Old is deleted in New
	UID, GID map[int]int            // numbers that have become others
	Skip     func(path string) bool // what is left alone, with all below it; path has no slash before it
}

// Result is what Carry did below one path.
type Result struct {
	Carried, Deleted int      // files, folders and symlinks
	Left             []string // what was not carried and why, at most maxLeft sentences
	more             int
}

// maxLeft is how many sentences a Result has, the one about the others not counted.
const maxLeft = 50

// Carry carries what is at a path, which is absolute, and below it.
func Carry(ctx context.Context, r Roots, at string, o Options) (Result, error) {
	w := &walk{ctx: ctx, Options: o, links: map[inode]link{}}
	at = strings.TrimPrefix(path.Clean("/"+at), "/")
	if at == "" {
		return w.Result, fmt.Errorf("carrying /: give a folder below it")
	}
	if o.Skip != nil && o.Skip(at) {
		return w.Result, nil
	}
	err := w.path(r, at)
	if w.more > 0 {
		w.Left = append(w.Left, fmt.Sprintf("and %d more below %s", w.more, Name("/"+at)))
	}
	if err != nil {
		return w.Result, fmt.Errorf("carrying %s: %w", Name("/"+at), err)
	}
	return w.Result, nil
}

// path opens the folders that a path is in, and starts the walk there.
func (w *walk) path(r Roots, at string) error {
	defer w.close()
	old, to := sysroot.Dir{Root: r.Old}, sysroot.Dir{Root: r.New}
	var err error
	if w.mount, err = mountOf(r.Old); err != nil {
		return err
	}
	if w.old, err = parent(old, at); err != nil {
		return err
	}
	if r.Image != nil {
		if w.image, err = parent(sysroot.Dir{Root: r.Image}, at); err != nil {
			return err
		}
	}
	if w.to, err = parent(to, at); err != nil {
		return err
	}
	if !w.to.here() {
		w.reached = -1
	}
	w.top = func() (cursor, error) { return w.makeParent(old, to, at) }
	return w.entry(path.Base(at), at)
}

// Name is a path for people: as it is, or quoted if it has characters that a screen does not show.
func Name(p string) string {
	if quoted := strconv.Quote(p); quoted != `"`+p+`"` {
		return quoted
	}
	return p
}

func (w *walk) leave(at, format string, args ...any) {
	if len(w.Left) == maxLeft {
		w.more++
		return
	}
	w.Left = append(w.Left, Name("/"+at)+": "+fmt.Sprintf(format, args...))
}
