// Package delta makes btrfs send streams from directory trees: full ones, and deltas between any two trees that somebody
// has manifests of, whatever filesystem they lie on and however they came to be.
//
// WriteFull makes the stream of a tree and its manifest in one pass; WriteTree makes the same stream where the manifest
// is known; Write makes a delta. All give the canonical form of docs/FORMAT.md: version 1, final names, fixed
// order. The same trees, names and holes make the same bytes.
//
//	full    subvol, then for each path in the manifest's order: a creation, for a file its data and metadata;
//	        then for each directory: its metadata; end
//	delta   snapshot, removals with the deepest first, then for each path in the manifest's order: what changes there;
//	        then for each directory: what changes of its metadata; end
//
// Streams are read, hashed and encoded on all processors and written in order by one goroutine. Memory is some 10 MiB for
// each processor, the manifests, and for WriteFull one manifest that grows. Nothing is written to the trees, and nothing
// is followed out of them (see content.Root). They must hold still meanwhile: each file that is read is compared
// with its manifest, and a difference is ErrChanged. What is not read is not compared: of a delta, files whose manifest entries
// are equal, the sources of clones, and all metadata.
//
// Access and change times are no content. A stream gives the modification time for them.
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

// Tree is one side of a delta: a directory that holds still, and what is in it.
type Tree struct {
	Dir      string            // its root
	Content  *content.Manifest // valid, as Parse, Walk and Builder give it
	UUID     sendstream.UUID   // of the stream that makes it: what receivers know it by
	Ctransid uint64            // of that stream
}

// Options may all be left out but Name.
type Options struct {
	// Name is what the stream calls the subvolume: a single file name.
	Name string
	// Progress is called after every write, from the same goroutine, with the bytes written so far.
	Progress func(raw int64)
	// Unsummed leaves the SHA256 of the manifest that WriteFull gives zero, for what is read again in any case: a tree with
	// little in large holes then takes no longer than the little.
	Unsummed bool
}

// ErrChanged is wrapped by the error of a file that is not what its manifest says; the error names the path.
var ErrChanged = errors.New("the file is not what its manifest says")

func (o Options) validate() error {
	if o.Name == "" || o.Name == "." || o.Name == ".." || len(o.Name) > 255 || strings.ContainsAny(o.Name, "/\x00") {
		return fmt.Errorf("name %q: want a single file name", o.Name)
	}
	return nil
}

// WriteFull writes the full stream of the tree below dir, under the given identity, and gives the tree's manifest, which is
// the one that content.Walk would make. Errors are those of content.Scan and of w. A file that is found
// shorter or longer than it was listed gives ErrChanged; other changes are not noticed.
func WriteFull(ctx context.Context, w io.Writer, dir string, uuid sendstream.UUID, ctransid uint64, o Options) (*content.Manifest, error) {
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

// WriteTree writes the full stream of a tree whose manifest is known, and gives its length in bytes. It is the stream that
// WriteFull writes.
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
