package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Walk makes the manifest of the tree below dir by reading all of it, on all processors. It stays below dir and gives
// the same errors as Scan. The tree must not change meanwhile: a file that becomes shorter or longer while it is read
// is an error.
func Walk(ctx context.Context, dir string) (*Manifest, error) {
	m := &Manifest{}
	err := Scan(ctx, dir, func(e *Entry) error {
		m.Entries = append(m.Entries, *e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	const batch = 64 // entries, near one another in the tree
	todo := make(chan []Entry)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(todo)
		for rest := m.Entries; len(rest) > 0; {
			n := min(batch, len(rest))
			select {
			case todo <- rest[:n]:
			case <-gctx.Done():
				return gctx.Err()
			}
			rest = rest[n:]
		}
		return nil
	})
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			root, err := OpenRoot(dir)
			if err != nil {
				return err
			}
			defer root.Close()
			buf := make([]byte, 256<<10)
			for entries := range todo {
				for i := range entries {
					if err := root.fill(gctx, &entries[i], buf); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("walking %s: %w", dir, err)
	}
	return m, nil
}

// fill reads what Scan did not tell.
func (r *Root) fill(ctx context.Context, e *Entry, buf []byte) (err error) {
	switch e.Type {
	case HardLink:
		return nil
	case Regular:
	default:
		e.Xattrs, err = r.Xattrs(e.Path)
		return err
	}
	var st unix.Stat_t
	fd, err := r.Open(e.Path, &st)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.Path)
	defer f.Close()
	if e.Xattrs, err = r.FileXattrs(fd, e.Path); err != nil {
		return err
	}
	n := int64(0)
	e.SHA256, n, err = hashFile(ctx, f, buf, nil)
	if err == nil && n < e.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && n > e.Size {
		err = errors.New("it grows")
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", escape(e.Path), err)
	}
	return nil
}
