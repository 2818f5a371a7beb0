package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/packages"
	"griddle/imagestore/ref"
)

// DiffOptions says what Diff compares.
type DiffOptions struct {
	Old, New    ref.Ref
	Packages    bool // compare the packages
	Files       bool // compare the files
	Times       bool // a file's modification time alone is a difference
	ListsMustBe bool // an image without a list of packages is ErrNoPackages; else Difference.NoPackages says so
}

// Difference is what changes from one image to another: the JSON of `griddle image diff -o json`.
type Difference struct {
	Old        string               `json:"old"` // in full
	New        string               `json:"new"`
	Packages   *packages.Difference `json:"packages,omitempty"`   // nil where they were not compared
	NoPackages string               `json:"noPackages,omitempty"` // why they were not though they should be
	Files      *FileDifference      `json:"files,omitempty"`      // nil where they were not compared
}

// FileDifference is how two trees differ.
type FileDifference struct {
	Added   int          `json:"added"` // how many paths
	Removed int          `json:"removed"`
	Changed int          `json:"changed"`
	Moved   int          `json:"moved"`
	OldSize int64        `json:"oldSize"` // bytes of file contents of the whole tree
	NewSize int64        `json:"newSize"`
	Changes []FileChange `json:"changes"` // ordered by path
}

// FileChange is one path. Paths are spelled as in content manifests.
type FileChange struct {
	Kind string     `json:"kind"` // "added", "removed", "changed" or "moved"
	Path string     `json:"path"`
	From string     `json:"from,omitempty"` // of what was moved
	What []string   `json:"what,omitempty"` // of what was changed: see content.Change
	Old  *FileState `json:"old,omitempty"`
	New  *FileState `json:"new,omitempty"`
}

// FileState is what a path is.
type FileState struct {
	Type   string `json:"type"` // the letter of the content manifest
	Mode   string `json:"mode"` // four octal digits
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Size   int64  `json:"size"`
	Target string `json:"target,omitempty"`
}

// Diff compares two images by their signed package lists and content manifests; no stream is read.
func (s *Store) Diff(ctx context.Context, o DiffOptions) (Difference, error) {
	var opened [2]*fetch.Opened
	var d Difference
	for i, r := range []ref.Ref{o.Old, o.New} {
		_, op, err := s.openDocuments(ctx, r)
		if err != nil {
			return d, err
		}
		opened[i] = op
	}
	d.Old, d.New = opened[0].Ref(), opened[1].Ref()
	if o.Packages {
		p, err := s.diffPackages(ctx, opened)
		if errors.Is(err, ErrNoPackages) && !o.ListsMustBe {
			d.NoPackages = err.Error()
		} else if err != nil {
			return d, fmt.Errorf("comparing packages: %w", err)
		}
		d.Packages = p
	}
	if o.Files {
		f, err := diffFiles(ctx, opened, o.Times)
		if err != nil {
			return d, fmt.Errorf("comparing files: %w", err)
		}
		d.Files = f
	}
	return d, nil
}

func (s *Store) diffPackages(ctx context.Context, opened [2]*fetch.Opened) (*packages.Difference, error) {
	var lists [2]packages.List
	for i, op := range opened {
		p := op.Image().Packages
		if p == nil {
			return nil, fmt.Errorf("%s %w", op.Ref(), ErrNoPackages)
		}
		var err error
		if lists[i], err = fetch.ReadPackages(ctx, s.Blobs, p); err != nil {
			return nil, err
		}
	}
	d, err := packages.Diff(lists[0], lists[1])
	return &d, err
}

func diffFiles(ctx context.Context, opened [2]*fetch.Opened, times bool) (*FileDifference, error) {
	var m [2]*content.Manifest
	for i, op := range opened {
		var err error
		if m[i], err = op.Content(ctx); err != nil {
			return nil, err
		}
	}
	d := &FileDifference{OldSize: m[0].Size(), NewSize: m[1].Size(), Changes: []FileChange{}}
	for _, c := range content.Diff(m[0], m[1], times) {
		switch c.Kind {
		case content.Added:
			d.Added++
		case content.Removed:
			d.Removed++
		case content.Changed:
			d.Changed++
		case content.Moved:
			d.Moved++
		}
		f := FileChange{Kind: c.Kind, Path: content.Escape(c.Path), What: c.What, Old: stateOf(c.Old),
			New: stateOf(c.New)}
		if c.From != "" {
			f.From = content.Escape(c.From)
		}
		d.Changes = append(d.Changes, f)
	}
	return d, nil
}

func stateOf(e *content.Entry) *FileState {
	if e == nil {
		return nil
	}
	s := &FileState{Type: string(rune(e.Type)), Mode: fmt.Sprintf("%04o", e.Mode), UID: e.UID, GID: e.GID, Size: e.Size}
	if e.Type == content.Symlink {
		s.Target = content.Escape(e.Target)
	}
	return s
}

// ErrNoPackages is wrapped if an image has no list of packages.
var ErrNoPackages = errors.New("has no list of packages")

// putPackages compresses a package list and stores it; nil where it is empty.
func (s *Store) putPackages(ctx context.Context, l packages.List) (*document.Packages, error) {
	if len(l.Packages) == 0 {
		return nil, nil
	}
	var text bytes.Buffer
	if _, err := l.WriteTo(&text); err != nil {
		return nil, err
	}
	c, err := s.putText(ctx, "package list", text.Bytes())
	if err != nil {
		return nil, err
	}
	return &document.Packages{Manager: l.Manager, Count: int64(len(l.Packages)), Content: c}, nil
}

// ReadPackages reads the list of what is installed in an image, after it has checked the document's signature and
// the list's digest. The error is ErrNoPackages if the image has no list.
func (s *Store) ReadPackages(ctx context.Context, r ref.Ref) (packages.List, error) {
	l, opened, err := s.openDocuments(ctx, r)
	if err != nil {
		return packages.List{}, err
	}
	p := opened.Image().Packages
	if p == nil {
		return packages.List{}, fmt.Errorf("%s %w", l.Ref, ErrNoPackages)
	}
	list, err := fetch.ReadPackages(ctx, s.Blobs, p)
	if err != nil {
		return packages.List{}, fmt.Errorf("%s: %w", l.Ref, err)
	}
	return list, nil
}

// openDocuments finds an image and checks its signed document.
func (s *Store) openDocuments(ctx context.Context, r ref.Ref) (catalog.Listed, *fetch.Opened, error) {
	l, err := s.Resolve(ctx, r)
	if err != nil {
		return l, nil, err
	}
	opened, err := s.openDocument(ctx, &l)
	return l, opened, err
}

// document.Open checks the signed document of an image that is listed; no stream comes with it.
func (s *Store) openDocument(ctx context.Context, l *catalog.Listed) (*fetch.Opened, error) {
	return s.Open(ctx, fetch.Plan{Ref: l.Ref, Document: l.Document}, fetch.Options{})
}
