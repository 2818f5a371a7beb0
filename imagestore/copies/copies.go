// Package copies remembers which copies of images are next to their sources as parents of the next versions, so
// that they are removed together with the images.
//
// A File is named by its fields; Add notes a copy, and Prune removes those of images that are gone. It has one
// JSON value to a line, and is replaced as a whole: after a crash it is the old or the new one. Readers skip a
// line that they cannot parse, because without the file a copy only stays longer.
package copies

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

// File is DIR/copies of a local store: which copies of its images are next to their sources, as parents of the
// next versions. The next collection after an image is deleted removes its copy. Without this file the copy would
// stay until its source is published again, which may be never. The file is replaced as a whole, under the
// catalog's lock. After a crash before that a copy stays that is not noted; the next publication of its source
// removes it.
//
// For a store behind a server each user who publishes has such a file; its lines name the server.
type File struct {
	Disk   durable.Disk
	Path   string // "" where nothing is remembered
	Server string // "" for a local store
}

// Copy is one line.
type Copy struct {
	Dir      string          `json:"dir"`
	UUID     sendstream.UUID `json:"uuid"`
	Ctransid uint64          `json:"ctransid"`
	Server   string          `json:"server,omitempty"`
}

const maxCopies = 10_000

// read gives the copies. A line that is none, of a later version or a damaged file, is passed over: the file is a help.
func (k File) read() ([]Copy, error) {
	b, err := k.Disk.ReadFile(k.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which copies are kept: %w", err)
	}
	var out []Copy
	for line := range bytes.Lines(b) {
		var c Copy
		if len(out) < maxCopies && json.Unmarshal(line, &c) == nil && filepath.IsAbs(c.Dir) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (k File) write(all []Copy) error {
	var b []byte
	for _, c := range all {
		line, err := document.MarshalLine(c)
		if err != nil {
			return err
		}
		b = append(b, line...)
	}
	if err := k.Disk.Replace(k.Path, b, 0o644); err != nil {
		return fmt.Errorf("noting which copies are kept: %w", err)
	}
	return nil
}

// Add notes a copy that stays next to its source. The caller has the file's lock.
func (k File) Add(c Copy) error {
	c.Server = k.Server
	all, err := k.read()
	if err != nil || len(all) >= maxCopies || slices.Contains(all, c) {
		return err
	}
	return k.write(append(all, c))
}

// Prune removes the copies of images that are gone. What this process cannot remove stays in the file. The caller
// has the file's lock.
func (k File) Prune(ctx context.Context, v *catalog.View) error {
	all, err := k.read()
	if err != nil || len(all) == 0 {
		return err
	}
	var errs []error
	left := slices.DeleteFunc(slices.Clone(all), func(c Copy) bool {
		if c.Server != k.Server || v.ByIdentity(c.UUID, c.Ctransid) != nil {
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

// Locked calls f with the file's lock, if there is a file.
func (k File) Locked(ctx context.Context, f func() error) error {
	if k.Path == "" {
		return nil
	}
	if err := k.Disk.MkdirAll(filepath.Dir(k.Path), 0o700); err != nil {
		return err
	}
	unlock, err := k.Disk.Lock(ctx, k.Path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}
