package tree

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// walk goes through a folder of Old, with those of the same name in Image and in New beside it.
type walk struct {
	ctx context.Context
	Options
	Result

	mount          uint64 // of Old
	old, image, to cursor
	levels         []level                // the folders that old is in, below the one that the path is in
	reached        int                    // how many of them to is in; -1 where New lacks the one that the path is in
	top            func() (cursor, error) // opens that folder of New, and makes it if it is missing
	links          map[inode]link
}

func (w *walk) close() {
	w.old.close()
	w.image.close()
	w.to.close()
}

// level is a folder that the walk is in.
type level struct {
	name           string
	old, image, to inode // of the folder that it is in
	made           bool  // in New, by this walk
}

// link is where in New a file is that has several names in Old: the folders that lead to it, and its name.
type link []string

// entry carries what has a name in the folder of the walk; at is its path.
func (w *walk) entry(name, at string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	old, err := w.old.stat(name)
	if err != nil {
		return err
	}
	image, err := w.image.stat(name)
	switch {
	case err != nil:
		return err
	case w.Skip != nil && w.Skip(at):
		return nil
	case old == nil:
		return w.gone(name, image)
	case old.Mask&unix.STATX_MNT_ID != 0 && old.Mnt_id != w.mount:
		w.leave(at, "another filesystem is mounted there")
		return nil
	case isFolder(old):
		return w.folder(name, at, old, image)
	}
	same, err := w.same(name, old, image)
	if err != nil || same {
		return err
	}
	return w.put(name, at, old)
}

// gone deletes in New what was deleted in Old.
func (w *walk) gone(name string, image stat) error {
	if !w.Delete || image == nil || w.reached != len(w.levels) {
		return nil
	}
	now, err := w.to.stat(name)
	if err != nil || now == nil {
		return err
	}
	w.Deleted++
	return w.to.remove(name, now)
}

// folder carries a folder and what is in it. New gets it if anything in it is carried.
func (w *walk) folder(name, at string, old, image stat) error {
	l := level{name: name, old: w.old.at, image: w.image.at, to: w.to.at}
	if err := w.old.down(name); err != nil {
		return err
	}
	both := isFolder(image)
	if both {
		if err := w.image.down(name); err != nil {
			return err
		}
	}
	outside := w.image
	if !both {
		w.image = cursor{}
	}
	w.levels = append(w.levels, l)
	err := w.inside(at, old, image)
	if !both {
		w.image = outside
	}
	if err != nil {
		return err
	}
	return w.leaveFolder(both)
}

// inside is folder, in it.
func (w *walk) inside(at string, old, image stat) error {
	depth := len(w.levels)
	if w.reached == depth-1 {
		if now, err := w.to.stat(w.levels[depth-1].name); err != nil {
			return err
		} else if isFolder(now) {
			if err := w.reach(); err != nil {
				return err
			}
		}
	}
	changed := true
	if isFolder(image) {
		same, err := sameMetadata(w.old.self(), w.image.self(), old, image)
		if err != nil {
			return err
		}
		changed = !same
	}
	if changed {
		if err := w.ensure(); err != nil {
			return err
		}
	}
	names, err := w.names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := w.entry(n, at+"/"+n); err != nil {
			return err
		}
	}
	if w.reached != depth || !changed && !w.levels[depth-1].made {
		return nil
	}
	w.Carried++
	return w.metadata(w.old.self(), w.to.self(), old)
}

// leaveFolder goes back to the folder above.
func (w *walk) leaveFolder(image bool) error {
	l := w.levels[len(w.levels)-1]
	if w.reached == len(w.levels) {
		if err := w.to.up(l.to); err != nil {
			return err
		}
		w.reached--
	}
	w.levels = w.levels[:len(w.levels)-1]
	if image {
		if err := w.image.up(l.image); err != nil {
			return err
		}
	}
	return w.old.up(l.old)
}

// names are the names in the folder, sorted; with those of Image where what was deleted counts.
func (w *walk) names() ([]string, error) {
	names, err := w.old.names()
	if err != nil {
		return nil, err
	}
	if w.Delete {
		more, err := w.image.names()
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// ensure has New be in the same folder as Old, and makes what is missing on the way.
func (w *walk) ensure() error {
	if w.reached < 0 {
		to, err := w.top()
		if err != nil {
			return err
		}
		w.to, w.reached = to, 0
	}
	for w.reached < len(w.levels) {
		l := &w.levels[w.reached]
		now, err := w.to.stat(l.name)
		if err != nil {
			return err
		}
		if now != nil && !isFolder(now) {
			if err := w.to.remove(l.name, now); err != nil {
				return err
			}
		}
		if !isFolder(now) {
			l.made = true
			if err := unix.Mkdirat(w.to.fd(), l.name, 0o700); err != nil {
				return os.NewSyscallError("mkdirat", err)
			}
		}
		if err := w.reach(); err != nil {
			return err
		}
	}
	return nil
}

// reach goes one folder down in New.
func (w *walk) reach() error {
	l := &w.levels[w.reached]
	l.to = w.to.at
	if err := w.to.down(l.name); err != nil {
		return err
	}
	w.reached++
	return nil
}
