package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/durable"
	"griddle/imagestore/receive"
	"griddle/imagestore/ref"
)

// A shelf is DIR/trees of a local store: images as trees, for the work that needs their files. A tree is received and
// verified when it is first asked for, and stays for the next time.
//
//	trees/HEX        the tree of the image whose document is sha256:HEX; flock(2)ed, shared, while it is used
//	trees/HEX.used   its modification time says when that was last
//	trees/lock       flock(2)ed by whoever receives or removes trees
//
// A collection takes away the trees of images that are gone, and what was left by who was killed. A store that can only
// be read has such a directory in its Spool, where a tree goes away after its use.
type shelf struct {
	disk durable.Disk
	dir  string
	size int // how many trees stay that no one uses
}

const (
	shelfLock = "lock"
	usedMark  = ".used"
)

// shelfSize is how many trees stay that nobody uses. A delta takes two.
const shelfSize = 2

// ErrNoShelf is wrapped if work needs an image's files and the store has no place for them, because it is behind a
// server.
var ErrNoShelf = errors.New("this works only on the machine of the store")

// shelved is a tree that is held until release.
type shelved struct {
	Tree
	Content *content.Manifest
	lock    *os.File
	shelf   shelf
}

func (t *shelved) release() {
	t.lock.Close()
	if t.shelf.size > 0 {
		return
	}
	// At once or not at all: what stays here the next release removes.
	atOnce, cancel := context.WithCancel(context.Background())
	cancel()
	if unlock, err := t.shelf.lock(atOnce); err == nil {
		_ = t.shelf.trim(0)
		unlock()
	}
}

// tree takes the image's tree from the shelf, and puts it there first where it is not. Trees that are there already
// shorten the way to it. progress is as ReceiveOptions.Progress; it may be nil.
func (s *Store) tree(ctx context.Context, r ref.Ref,
	progress func(phase string, done, total int64)) (*shelved, error) {
	t, err := s.findOrReceive(ctx, r, progress)
	if err != nil {
		return nil, fmt.Errorf("getting the tree of %s: %w", r, err)
	}
	return t, nil
}

func (s *Store) findOrReceive(ctx context.Context, r ref.Ref, progress func(string, int64, int64)) (*shelved, error) {
	if s.trees == "" {
		return nil, ErrNoShelf
	}
	shelf, err := s.shelf()
	if err != nil {
		return nil, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	l, err := v.Resolve(r)
	if err != nil {
		return nil, err
	}
	if t, err := s.onShelf(ctx, shelf, l, unix.LOCK_SH|unix.LOCK_NB); t != nil || err != nil {
		return t, err
	}
	unlock, err := shelf.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t, err := s.onShelf(ctx, shelf, l, unix.LOCK_SH); t != nil || err != nil { // somebody else put it there
		return t, err
	}
	o := ReceiveOptions{Name: l.Document.Hex(), Progress: progress}
	for _, other := range v.Images() {
		dir := filepath.Join(shelf.dir, other.Document.Hex())
		if _, err := os.Lstat(dir); err == nil { // nobody removes it: we have the lock
			o.Have = append(o.Have, Tree{other.Ref, other.Identity, dir})
		}
	}
	if _, err := s.Receive(ctx, l.Parsed(), shelf.dir, o); err != nil {
		return nil, err
	}
	t, err := s.onShelf(ctx, shelf, l, unix.LOCK_SH)
	if t == nil && err == nil {
		err = errors.New("it was removed while it was received")
	}
	if err != nil {
		return nil, err
	}
	if err := shelf.trim(shelf.size); err != nil {
		t.lock.Close()
		return nil, err
	}
	return t, nil
}

// onShelf holds the tree that is there, or gives nil. Who has the shelf's lock may wait for the tree's: nobody removes
// trees then, but where a program is just being started, the lock of whoever made the tree lives on in it for a moment.
func (s *Store) onShelf(ctx context.Context, shelf shelf, l *catalog.Listed, how int) (*shelved, error) {
	dir := filepath.Join(shelf.dir, l.Document.Hex())
	f, err := hold(dir, how)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now, errNow := os.Lstat(dir)
	held, errHeld := f.Stat()
	if errNow != nil || errHeld != nil || !os.SameFile(now, held) {
		f.Close() // removed between the two calls
		return nil, nil
	}
	t := &shelved{Tree: Tree{l.Ref, l.Identity, dir}, lock: f, shelf: shelf}
	if err := shelf.touch(l.Document.Hex()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	opened, err := s.openDocument(ctx, l)
	if err == nil {
		t.Content, err = opened.Content(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// shelf is the place of the store's trees, which is there when it returns.
func (s *Store) shelf() (shelf, error) {
	if s.readOnly {
		return s.spooled()
	}
	return shelf{s.disk, s.trees, shelfSize}, s.disk.MkdirAll(s.trees, 0o700)
}

// touch notes that a tree is used now.
func (h shelf) touch(name string) error {
	path := filepath.Join(h.dir, name+usedMark)
	f, err := h.disk.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return h.disk.Chtimes(path, time.Now())
}

// lock waits for its turn to receive or remove trees.
func (h shelf) lock(ctx context.Context) (unlock func(), err error) {
	return h.disk.Lock(ctx, filepath.Join(h.dir, shelfLock))
}

// trim removes the trees that were not used for longest until keep are left, those that are used now besides. The
// caller has the shelf's lock. A crash in it leaves a part of a tree under a name that the next receive clears away.
func (h shelf) trim(keep int) error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	type idle struct {
		name string
		used time.Time
	}
	var all []idle
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		var used time.Time
		if fi, err := os.Stat(filepath.Join(h.dir, e.Name()+usedMark)); err == nil {
			used = fi.ModTime()
		}
		all = append(all, idle{e.Name(), used})
	}
	slices.SortFunc(all, func(a, b idle) int { return b.used.Compare(a.used) })
	var errs []error
	for _, t := range all[min(keep, len(all)):] {
		errs = append(errs, h.remove(t.name))
	}
	return errors.Join(errs...)
}

// remove removes a tree that nobody uses. It is renamed first, so that no half of one has the name of a whole one.
func (h shelf) remove(name string) error {
	dir := filepath.Join(h.dir, name)
	f, err := hold(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	going := filepath.Join(h.dir, unverified+name)
	if err := h.disk.Rename(dir, going); err != nil {
		return err
	}
	return errors.Join(receive.Remove(going), h.forget(name))
}

// forget removes the mark of a tree.
func (h shelf) forget(name string) error {
	err := h.disk.Remove(filepath.Join(h.dir, name+usedMark))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweep removes the trees that keep does not admit, by the digest of the image's document in hex, marks without a tree,
// and what was left by receives that were killed. Where somebody receives or removes trees just now, it leaves all that
// to the next collection.
func (h shelf) sweep(ctx context.Context, keep func(hex string) bool) error {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	atOnce, cancel := context.WithCancel(ctx)
	cancel()
	unlock, err := h.lock(atOnce)
	if errors.Is(err, context.Canceled) {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	defer unlock()
	errs := []error{cleanUnverified(h.dir)}
	for _, e := range entries {
		name, mark := strings.CutSuffix(e.Name(), usedMark)
		switch {
		case strings.HasPrefix(name, ".") || name == shelfLock:
		case mark:
			if _, err := os.Lstat(filepath.Join(h.dir, name)); errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, h.forget(name))
			}
		case e.IsDir() && !keep(name):
			if err := h.remove(name); !errors.Is(err, fs.ErrNotExist) { // trimmed meanwhile
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clearing %s: %w", h.dir, err)
	}
	return nil
}
