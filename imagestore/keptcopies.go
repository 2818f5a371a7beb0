package imagestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source"
)

// keptCopies is DIR/copies of a local store: which copies of its images lie beside their sources, as the parents of the next
// versions, a JSON value to a line. A copy whose image is deleted goes with the next collection; without this file it would
// stay until its source is published again, and for a source that is gone for ever. It is replaced as a whole, under the
// catalog's lock; a crash before that leaves a copy that the next publication of its source removes.
//
// Of a store behind a server each user who publishes has such a file, and lines that name the server.
type keptCopies struct {
	disk   durable.Disk
	path   string // "" where nothing is remembered
	server string // "" for a local store
}

// keptCopy is one line.
type keptCopy struct {
	Dir      string          `json:"dir"`
	UUID     sendstream.UUID `json:"uuid"`
	Ctransid uint64          `json:"ctransid"`
	Server   string          `json:"server,omitempty"`
}

const maxKeptCopies = 10_000

// read gives the copies. A line that is none, of a later version or a damaged file, is passed over: the file is a help.
func (k keptCopies) read() ([]keptCopy, error) {
	b, err := k.disk.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which copies are kept: %w", err)
	}
	var out []keptCopy
	for line := range bytes.Lines(b) {
		var c keptCopy
		if len(out) < maxKeptCopies && json.Unmarshal(line, &c) == nil && filepath.IsAbs(c.Dir) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (k keptCopies) write(all []keptCopy) error {
	var b []byte
	for _, c := range all {
		line, err := document.MarshalLine(c)
		if err != nil {
			return err
		}
		b = append(b, line...)
	}
	if err := k.disk.Replace(k.path, b, 0o644); err != nil {
		return fmt.Errorf("noting which copies are kept: %w", err)
	}
	return nil
}

// add notes a copy that stays beside its source. The caller has the file's lock.
func (k keptCopies) add(c keptCopy) error {
	c.Server = k.server
	all, err := k.read()
	if err != nil || len(all) >= maxKeptCopies || slices.Contains(all, c) {
		return err
	}
	return k.write(append(all, c))
}

// prune removes the copies of images that are gone, as far as this process may and can: the rest stays noted. The caller
// has the file's lock.
func (k keptCopies) prune(ctx context.Context, v *catalog.View) error {
	all, err := k.read()
	if err != nil || len(all) == 0 {
		return err
	}
	var errs []error
	left := slices.DeleteFunc(slices.Clone(all), func(c keptCopy) bool {
		if c.Server != k.server || v.ByIdentity(c.UUID, c.Ctransid) != nil {
			return false
		}
		gone, err := source.Prune(ctx, c.Dir, c.UUID, c.Ctransid)
		errs = append(errs, err)
		return gone
	})
	if len(left) < len(all) {
		errs = append(errs, k.write(left))
	}
	return errors.Join(errs...)
}

// noteCopy has the store, or of one behind a server this user's file, remember a copy that stays, so that it goes when its
// image does.
func (s *Store) noteCopy(ctx context.Context, c *source.Copy) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil || !c.Snapshot {
		return err
	}
	kept := keptCopy{Dir: dir, UUID: c.UUID, Ctransid: c.Ctransid}
	if c, ok := s.Catalog.(locker); ok {
		return c.Locked(ctx, func() error { return s.copies.add(kept) })
	}
	return s.copies.locked(ctx, func() error { return s.copies.add(kept) })
}

// pruneCopies removes the copies on this host of what a server has deleted. A local store does so by itself.
func (s *Store) pruneCopies(ctx context.Context) error {
	if _, local := s.Catalog.(locker); local || s.copies.path == "" {
		return nil
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	return s.copies.locked(ctx, func() error { return s.copies.prune(ctx, v) })
}

// locked calls f with the file's lock, where there is a file.
func (k keptCopies) locked(ctx context.Context, f func() error) error {
	if k.path == "" {
		return nil
	}
	if err := k.disk.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	unlock, err := k.disk.Lock(ctx, k.path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}
