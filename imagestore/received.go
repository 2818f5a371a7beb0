package imagestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/receive"
	"griddle/imagestore/ref"
)

// ReceiveOptions says how Receive makes a tree.
type ReceiveOptions struct {
	Name  string // of the tree in the directory; "" means the image's, Ref.FileName
	Plain bool   // an ordinary directory on btrfs too

	// Have are trees from which the way may begin, each an image as it was received and not changed since.
	Have []Tree

	// Progress is called with "receiving" and the bytes of the streams, then with "verifying" and the bytes of the
	// files; may be nil.
	Progress func(phase string, done, total int64)
}

// Tree is an image that was received.
type Tree struct {
	Ref      string // in full
	Identity document.Identity
	Dir      string
}

// Received is the result of Receive.
type Received struct {
	Ref       string `json:"ref"`       // in full
	Path      string `json:"path"`      // of the tree
	Subvolume bool   `json:"subvolume"` // a read-only btrfs subvolume, not an ordinary directory
	Raw       int64  `json:"raw"`       // bytes of the streams that were applied
	Wire      int64  `json:"wire"`      // bytes that were fetched for them

	tree    Tree
	content *content.Manifest
}

// Receive makes an image's tree in the directory dir, by the cheapest way from nothing or from a tree of Have. On
// btrfs it becomes a read-only subvolume, on any other filesystem a directory. Receive compares the whole tree
// with the image's signed content before it gives the tree its name, by renameat2(2). It is durable when Receive
// returns (package receive syncs the filesystem, the directory is synced last); after any error nothing stays. The
// next Receive removes what a killed one left in dir.
func (s *Store) Receive(ctx context.Context, name ref.Ref, dir string, o ReceiveOptions) (Received, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	have := []ref.Ref{}
	for _, t := range o.Have {
		r, err := ref.Parse(t.Ref)
		if err != nil {
			return Received{}, fmt.Errorf("receiving %s: %w", name, err)
		}
		have = append(have, r)
	}
	plan, err := s.PlanWith(ctx, name, PlanOptions{Have: have, Dictionaries: true})
	if err != nil {
		return Received{}, err
	}
	if o.Name == "" {
		r, err := ref.Parse(plan.Ref)
		if err != nil {
			return Received{}, err
		}
		o.Name = r.FileName()
	}
	t := reception{s: s, plan: plan, dir: dir, o: o}
	r, err := t.receive(ctx)
	if err != nil {
		return Received{}, fmt.Errorf("receiving %s: %w", plan.Ref, err)
	}
	return r, nil
}

// reception is one Receive.
type reception struct {
	s    *Store
	plan fetch.Plan
	dir  string
	o    ReceiveOptions
}

// unverified begins the names of trees that are not known to be right yet.
const unverified = ".griddle-unverified-"

func (t reception) receive(ctx context.Context) (r Received, err error) {
	final := filepath.Join(t.dir, t.o.Name)
	if _, err := os.Lstat(final); err == nil {
		return r, fmt.Errorf("%s exists already", final)
	}
	dir, err := os.Open(t.dir)
	if err != nil {
		return r, err
	}
	defer dir.Close()
	if err := cleanUnverified(t.dir); err != nil {
		return r, err
	}
	var wire atomic.Int64
	opened, err := t.s.Open(ctx, t.plan, fetch.Options{Wire: func(n int64) { wire.Add(n) }})
	if err != nil {
		return r, err
	}
	defer t.s.Hold(ctx, opened.Refs())()
	manifest, err := opened.Content(ctx)
	if err != nil {
		return r, err
	}
	last, raw, done, err := t.apply(ctx, opened)
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return r, err
	}
	if err := content.Verify(ctx, last, manifest, func(n int64) {
		t.o.Progress("verifying", n, manifest.Size())
	}); err != nil {
		return r, err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, last, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE); err != nil {
		return r, fmt.Errorf("naming the tree %s: %w", final, err)
	}
	if err := dir.Sync(); err != nil {
		return r, errors.Join(err, receive.Remove(final))
	}
	return Received{Ref: t.plan.Ref, Path: final, Subvolume: receive.IsSubvolume(final), Raw: raw, Wire: wire.Load(),
		tree: Tree{t.plan.Ref, opened.Image().Identity, final}, content: manifest}, nil
}

// apply receives the streams, each on what the one before made, and gives the last tree. done removes every tree that
// still has the name that it got here.
func (t reception) apply(ctx context.Context, opened *fetch.Opened) (last string, raw int64,
	done func() error, err error) {
	var made []string
	var held []*os.File
	done = func() error {
		var errs []error
		for _, p := range made {
			if _, err := os.Lstat(p); err == nil {
				errs = append(errs, receive.Remove(p))
			}
		}
		for _, f := range held {
			f.Close()
		}
		return errors.Join(errs...)
	}
	var parents []receive.Parent
	for _, h := range t.o.Have {
		parents = append(parents, receive.Parent{UUID: h.Identity.UUID, Ctransid: h.Identity.Ctransid, Dir: h.Dir})
	}
	total := int64(0)
	for _, s := range opened.Streams() {
		total += s.Raw
	}
	for i, s := range opened.Streams() {
		before := raw
		o := receive.Options{Name: unverified + t.o.Name + "-" + rand.Text(), Parents: parents, Plain: t.o.Plain,
			Progress: func(n int64) { t.o.Progress("receiving", before+n, total) }}
		got, err := t.applyOne(ctx, opened, i, s, o)
		if err != nil {
			return "", 0, done, err
		}
		made = append(made, got.Path)
		// Where a process is just being started, a descriptor of the receiver's lives on in it
		// until it runs its program.
		f, err := hold(got.Path, unix.LOCK_EX)
		if err != nil {
			return "", 0, done, fmt.Errorf("locking %s: %w", got.Path, err)
		}
		held = append(held, f)
		parents = []receive.Parent{{UUID: s.UUID, Ctransid: s.Ctransid, Dir: got.Path}}
		last, raw = got.Path, raw+got.Raw
	}
	if last == "" {
		return "", 0, done, errors.New("the tree exists already under another name")
	}
	return last, raw, done, nil
}

// applyOne receives one stream and checks that it made what it should.
func (t reception) applyOne(ctx context.Context, opened *fetch.Opened, i int, s fetch.StreamInfo,
	o receive.Options) (receive.Result, error) {
	parent := ""
	for _, p := range o.Parents {
		if s.Parent != nil && p.UUID == s.Parent.UUID && p.Ctransid == s.Parent.Ctransid {
			parent = p.Dir
		}
	}
	in, err := opened.OpenStream(ctx, i, parent)
	if err != nil {
		return receive.Result{}, err
	}
	defer in.Close()
	got, err := receive.Receive(ctx, in, t.dir, o)
	if err != nil {
		return receive.Result{}, err
	}
	if got.UUID != s.UUID || got.Ctransid != s.Ctransid {
		return receive.Result{}, errors.Join(fmt.Errorf("the stream makes %v, not %v", got.UUID, s.UUID),
			receive.Remove(got.Path))
	}
	return got, nil
}

// cleanUnverified removes what receives that were killed left in dir. Whoever is at work on a tree holds its flock.
func cleanUnverified(dir string) error {
	errs := []error{receive.RemoveLeftovers(dir)}
	entries, err := os.ReadDir(dir)
	errs = append(errs, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unverified) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if held, err := hold(path, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			errs = append(errs, receive.Remove(path))
			held.Close()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what was left in %s: %w", dir, err)
	}
	return nil
}

// hold takes the flock of a tree, until the file is closed. With LOCK_NB it fails at once where somebody has it.
func hold(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), how)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
