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

	"griddle/imagestore/durable"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source"
)

// keptCopies is DIR/copies of a local store: which copies of its images lie beside their sources, as the parents of the next
// versions, a JSON value to a line. A copy whose image is deleted goes with the next collection; without this file it would
// stay until its source is published again, and for a source that is gone for ever. It is replaced as a whole, under the
// catalog's lock; a crash before that leaves a copy that the next publication of its source removes.
type keptCopies struct {
	disk durable.Disk
	path string
}

// keptCopy is one line.
type keptCopy struct {
	Dir      string          `json:"dir"`
	UUID     sendstream.UUID `json:"uuid"`
	Ctransid uint64          `json:"ctransid"`
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
		line, err := marshalLine(c)
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

// keep notes a copy that stays beside its source.
func (c *localCatalog) keepCopy(ctx context.Context, kept keptCopy) error {
	return c.log.update(ctx, func([]Entry) ([]Entry, error) {
		all, err := c.kept.read()
		if err != nil {
			return nil, err
		}
		if len(all) >= maxKeptCopies || slices.Contains(all, kept) {
			return nil, nil
		}
		return nil, c.kept.write(append(all, kept))
	})
}

// pruneCopies removes the copies of images that are gone, as far as this process may and can: the rest stays noted.
func (c *localCatalog) pruneCopies(ctx context.Context, v *view) error {
	all, err := c.kept.read()
	if err != nil || len(all) == 0 {
		return err
	}
	var errs []error
	left := slices.DeleteFunc(slices.Clone(all), func(k keptCopy) bool {
		if v.byIdentity(k.UUID, k.Ctransid) != nil {
			return false
		}
		gone, err := source.Prune(ctx, k.Dir, k.UUID, k.Ctransid)
		errs = append(errs, err)
		return gone
	})
	if len(left) < len(all) {
		errs = append(errs, c.kept.write(left))
	}
	return errors.Join(errs...)
}
