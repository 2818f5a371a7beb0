package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// verify checks the store's blobs or, where tree is not empty, that tree.
func verify(ctx context.Context, st *imagestore.Store, name ref.Ref, tree string,
	bar *cli.Progress) (imagestore.Verified, error) {
	if tree == "" {
		return st.Verify(ctx, name, bar.Update)
	}
	l, err := st.Resolve(ctx, name)
	if err != nil {
		return imagestore.Verified{}, err
	}
	opened, err := st.Open(ctx, fetch.Plan{Ref: l.Ref, Document: l.Document}, fetch.Options{})
	if err != nil {
		return imagestore.Verified{}, err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return imagestore.Verified{}, err
	}
	dropSockets(m, tree)
	v := imagestore.Verified{Ref: l.Ref, OK: true}
	err = content.Verify(ctx, tree, m, func(n int64) {
		v.Bytes = n
		bar.Update(n, m.Size())
	})
	var differs *content.MismatchError
	if errors.As(err, &differs) {
		v.OK, v.Problems = false, differs.Differences
		if more := differs.Total - len(differs.Differences); more > 0 {
			v.Problems = append(v.Problems, fmt.Sprintf("and %d more differences", more))
		}
		return v, nil
	}
	return v, err
}

// dropSockets takes the sockets that are not in the tree out of the manifest: an archive has no place for them, and the
// program that made one makes it again.
func dropSockets(m *content.Manifest, tree string) {
	m.Entries = slices.DeleteFunc(m.Entries, func(e content.Entry) bool {
		if e.Type != content.Socket {
			return false
		}
		_, err := os.Lstat(filepath.Join(tree, e.Path))
		return errors.Is(err, fs.ErrNotExist)
	})
}
