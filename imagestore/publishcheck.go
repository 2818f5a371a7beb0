package imagestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/copies"
	"griddle/imagestore/delta"
	"griddle/imagestore/document"
	"griddle/imagestore/source"
)

// Errors of Publish on which callers branch.
var (
	// ErrEmpty is wrapped if the tree to publish is empty.
	ErrEmpty = errors.New("the tree is empty")
	// ErrArch is wrapped if the architecture is not known, or differs from that of the tree's programs.
	ErrArch = errors.New("wrong architecture")
)

// Architectures lists those that an image can be published for, as Debian spells them.
func Architectures() []string {
	return []string{"amd64", "arm64", "armel", "armhf", "i386", "loong64", "mips64el", "mipsel",
		"ppc64el", "riscv64", "s390x"}
}

// CheckArch returns ErrArch for an architecture that is not known. "" means the default.
func CheckArch(arch string) error {
	if arch == "" || slices.Contains(Architectures(), arch) {
		return nil
	}
	return fmt.Errorf("%w: %q is not known; known are %s", ErrArch, arch, strings.Join(Architectures(), ", "))
}

// Inspected is what PublishOptions.Inspect says of a copy.
type Inspected struct {
	Empty    bool
	Foreign  string // which program is for which other machines; "" where the tree fits the architecture
	Accounts []document.Account
	Settings json.RawMessage // document.Image.Settings
}

// inspect looks at the copy before anything is sent.
func (o PublishOptions) inspect(ctx context.Context, dir string) (Inspected, error) {
	if o.Inspect == nil {
		return Inspected{}, nil
	}
	in, err := o.Inspect(ctx, dir, o.Ref.Arch)
	switch {
	case err != nil:
		return Inspected{}, err
	case in.Empty && !o.AllowEmpty:
		return Inspected{}, fmt.Errorf("%w: %s has nothing in it", ErrEmpty, o.Source.Name)
	case in.Foreign != "":
		return Inspected{}, fmt.Errorf("%w: the image would be for %s, and %s", ErrArch, o.Ref.Arch, in.Foreign)
	}
	return in, nil
}

// hasKernel says whether a machine that gets the tree finds a kernel to boot: /vmlinuz or a regular
// file /boot/vmlinuz-*.
func hasKernel(m *content.Manifest) bool {
	return slices.ContainsFunc(m.Entries, func(e content.Entry) bool {
		return e.Path == "vmlinuz" || strings.HasPrefix(e.Path, "boot/vmlinuz-") && e.Type == content.Regular
	})
}

// base is what a delta starts from.
type base struct {
	listed  *catalog.Listed
	tree    delta.Tree
	kept    *source.Copy // that the tree is, beside the source; nil where it is on the shelf
	release func()
}

// findBase finds what the delta can start from: the newest image of the same template and architecture whose
// copy is still there, or, for a source of which no copies are kept, the newest one, whose tree the store then gets. It
// is nil where a full stream is all that there can be.
func (p *publication) findBase(ctx context.Context) (*base, error) {
	s, o, c := p.store, p.o, p.copied
	for _, l := range p.view.Sorted() {
		if l.Template != o.Ref.Template() || l.Arch != o.Ref.Arch || l.Installable() != nil {
			continue
		}
		if !c.Snapshot {
			t, err := s.tree(ctx, l.Parsed(), nil)
			if errors.Is(err, ErrNoShelf) {
				return nil, nil // the server may derive a delta
			}
			if err != nil {
				return nil, fmt.Errorf("opening the parent: %w", err)
			}
			return &base{listed: l, tree: t.side(), release: t.release}, nil
		}
		kept, err := o.Source.Kept(l.Identity.UUID, l.Identity.Ctransid)
		if kept == nil && err == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		opened, err := s.openDocument(ctx, l)
		var m *content.Manifest
		if err == nil {
			m, err = opened.Content(ctx)
		}
		if err != nil {
			kept.Release()
			return nil, fmt.Errorf("opening the parent: %w", err)
		}
		t := delta.Tree{Dir: kept.Dir, Content: m, UUID: kept.UUID, Ctransid: kept.Ctransid}
		return &base{listed: l, tree: t, kept: kept, release: kept.Release}, nil
	}
	return nil, nil
}

// compared gives the manifest of a copy, and about how many bytes of content a delta has. Of a snapshot the kernel says
// what is different, so that only that is read.
func compared(ctx context.Context, c *source.Copy, from *base) (*content.Manifest, int64, error) {
	if from.kept == nil {
		m, err := content.Walk(ctx, c.Dir)
		return m, 0, err
	}
	changes, err := c.Changes(ctx, from.kept)
	if err != nil {
		return nil, 0, err
	}
	defer changes.Close()
	b := content.NewBuilder(from.tree.Content, c.Dir)
	if err := b.Read(changes); err != nil {
		return nil, 0, err
	}
	if st := b.Stream; st.UUID != c.UUID || st.ParentUUID != from.tree.UUID || st.ParentCtransid != from.tree.Ctransid {
		return nil, 0, fmt.Errorf("the kernel listed changes of %v from %v, and not those of the copy from its parent",
			st.UUID, st.ParentUUID)
	}
	m, err := b.Finish(ctx)
	return m, b.Touched(), err
}

// noteCopy has the store, or of one behind a server this user's file, remember a copy that stays, so that it
// goes when its image does.
func (s *Store) noteCopy(ctx context.Context, c *source.Copy) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil || !c.Snapshot {
		return err
	}
	kept := copies.Copy{Dir: dir, UUID: c.UUID, Ctransid: c.Ctransid}
	if c, ok := s.Catalog.(locker); ok {
		return c.Locked(ctx, func() error { return s.copies.Add(kept) })
	}
	return s.copies.Locked(ctx, func() error { return s.copies.Add(kept) })
}

// pruneCopies removes the copies on this host of what a server has deleted. A local store does so by itself.
func (s *Store) pruneCopies(ctx context.Context) error {
	if _, local := s.Catalog.(locker); local || s.copies.Path == "" {
		return nil
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	return s.copies.Locked(ctx, func() error { return s.copies.Prune(ctx, v) })
}
