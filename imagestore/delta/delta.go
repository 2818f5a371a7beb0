// Package delta makes btrfs send streams from directory trees: full ones, and deltas between any two trees with
// manifests, on any filesystem.
//
// WriteFull makes the stream of a tree and its manifest in one pass; WriteTree makes the same stream if the manifest
// is known; Write makes a delta. All write the canonical form of docs/FORMAT.md: version 1, final names, fixed order.
// The same trees, names and holes make the same bytes.
//
//	full    subvol, then for each path in the manifest's order: a creation, for a file its data and metadata;
//	        then for each directory: its metadata; end
//	delta   snapshot, removals with the deepest first, then for each path in the manifest's order: what changes there;
//	        then for each directory: what changes of its metadata; end
//
// Streams are read, hashed and encoded on all processors and written in order by one goroutine. Memory is some 10 MiB
// for each processor, the manifests, and for WriteFull one manifest that grows. Nothing is written to the trees, and
// no link leads out of them (see content.Root). They must not change meanwhile: each file that is read is compared
// with its manifest, and a difference gives ErrChanged. What is not read is not compared: in a delta, files whose
// manifest entries are equal, the sources of clones, and all metadata.
//
// Access and change times are not content. A stream has the modification time in their place.
//
// Sources: Linux fs/btrfs/send.c; btrfs-progs cmds/receive.c.
package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// Tree is one side of a delta: a directory that does not change, and its manifest.
type Tree struct {
	Dir      string            // its root
	Content  *content.Manifest // valid, as Parse, Walk and Builder return it
	UUID     sendstream.UUID   // of the stream that makes it: receivers know the tree by it
	Ctransid uint64            // of that stream
}

// Options of a stream. Only Name must be given.
type Options struct {
	// Name is the subvolume's name in the stream: a single file name.
	Name string
	// Progress is called after every write, from the same goroutine, with the bytes written so far.
	Progress func(raw int64)
	// Unsummed leaves SHA256 zero in the manifest that WriteFull returns, if all is read again anyway: then large
	// holes take no time.
	Unsummed bool
}

// ErrChanged is wrapped if a file is not what its manifest says; the error names the path.
var ErrChanged = errors.New("the file is not what its manifest says")

func (o Options) validate() error {
	if o.Name == "" || o.Name == "." || o.Name == ".." || len(o.Name) > 255 || strings.ContainsAny(o.Name, "/\x00") {
		return fmt.Errorf("name %q: want a single file name", o.Name)
	}
	return nil
}

// WriteFull writes the full stream of the tree below dir, with the given identity, and returns the tree's manifest,
// which is the one that content.Walk makes. Errors are those of content.Scan and of w. A file whose length changed
// meanwhile gives ErrChanged; other changes are not noticed.
func WriteFull(ctx context.Context, w io.Writer, dir string, uuid sendstream.UUID, ctransid uint64,
	o Options) (*content.Manifest, error) {
	var entries []*content.Entry
	_, err := pipeline{new: dir, out: w, o: o}.run(ctx, func(ctx context.Context, add adder) error {
		add(&command{Op: sendstream.OpSubvol, Path: o.Name, UUID: uuid, Ctransid: ctransid})
		err := content.Scan(ctx, dir, func(e *content.Entry) error {
			entries = append(entries, e)
			return add(&creation{e: e, first: true})
		})
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type != content.Directory {
				continue
			}
			if err := add(&directory{e: e, first: true}); err != nil {
				return err
			}
		}
		return add(&command{Op: sendstream.OpEnd})
	})
	if err != nil {
		return nil, fmt.Errorf("writing full stream of %s: %w", dir, err)
	}
	m := &content.Manifest{Entries: make([]content.Entry, len(entries))}
	for i, e := range entries {
		m.Entries[i] = *e
	}
	return m, nil
}

// WriteTree writes the full stream of a tree whose manifest is known, and returns its length in bytes. It is the
// stream that WriteFull writes.
func WriteTree(ctx context.Context, w io.Writer, to Tree, o Options) (raw int64, err error) {
	raw, err = pipeline{new: to.Dir, out: w, o: o}.run(ctx, func(_ context.Context, add adder) error {
		add(&command{Op: sendstream.OpSubvol, Path: o.Name, UUID: to.UUID, Ctransid: to.Ctransid})
		for i := range to.Content.Entries {
			if err := add(&creation{e: &to.Content.Entries[i]}); err != nil {
				return err
			}
		}
		for i := range to.Content.Entries {
			if e := &to.Content.Entries[i]; e.Type == content.Directory {
				if err := add(&directory{e: e}); err != nil {
					return err
				}
			}
		}
		return add(&command{Op: sendstream.OpEnd})
	})
	if err != nil {
		return 0, fmt.Errorf("writing full stream of %s: %w", to.Dir, err)
	}
	return raw, nil
}

// raw is the path as a stream has it: the root is "".
func raw(path string) string {
	if path == "." {
		return ""
	}
	return path
}
