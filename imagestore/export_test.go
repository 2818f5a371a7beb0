package imagestore

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/packages"
	"griddle/imagestore/ref"
)

// What the tests outside of the package see of its inside.
const (
	ShelfSize  = shelfSize
	ShelfLock  = shelfLock
	UsedMark   = usedMark
	Unverified = unverified
)

// OpenOn is Open with the file operations of disk.
func OpenOn(disk durable.Disk, dir string) (*Store, error) { return openOn(disk, dir) }

// HoldTree locks a tree.
func HoldTree(dir string, how int) (*os.File, error) { return hold(dir, how) }

// Prevented is prevented.
func Prevented(err error) bool { return prevented(err) }

// Shelved is a tree that is held until Release.
type Shelved struct{ *shelved }

// Release gives the tree back.
func (t Shelved) Release() { t.release() }

// LockShelf waits for its turn to receive or remove trees.
func (t Shelved) LockShelf(ctx context.Context) (unlock func(), err error) { return t.shelf.lock(ctx) }

// HoldTree takes an image's tree from the shelf, and puts it there first where it is not.
func (s *Store) HoldTree(ctx context.Context, r ref.Ref) (Shelved, error) {
	t, err := s.tree(ctx, r, nil)
	return Shelved{t}, err
}

// HeldTree takes a tree that is on the shelf; nil where it is not.
func (s *Store) HeldTree(ctx context.Context, l *catalog.Listed) (*Shelved, error) {
	t, err := s.onShelf(ctx, shelf{s.disk, s.trees, shelfSize}, l, unix.LOCK_SH)
	if t == nil {
		return nil, err
	}
	return &Shelved{t}, err
}

// BeReadOnly has the store be one that can only be read.
func (s *Store) BeReadOnly() { s.readOnly = true }

// PutPackages is putPackages.
func (s *Store) PutPackages(ctx context.Context, l packages.List) (*document.Packages, error) {
	return s.putPackages(ctx, l)
}

// PutText is putText.
func (s *Store) PutText(ctx context.Context, what string, text []byte) (document.Content, error) {
	return s.putText(ctx, what, text)
}

// ReceivedTree is the tree that was received.
func ReceivedTree(r Received) Tree { return r.tree }
