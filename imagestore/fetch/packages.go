package fetch

import (
	"context"
	"fmt"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/packages"
)

// ReadPackages fetches a package list and checks it.
func ReadPackages(ctx context.Context, r blob.Reader, p *document.Packages) (packages.List, error) {
	z, err := blob.ReadAll(ctx, r, p.Blob, MaxContentBlob(p.Content))
	if err != nil {
		return packages.List{}, fmt.Errorf("package list: %w", err)
	}
	return DecodePackages(z, p)
}

func DecodePackages(z []byte, p *document.Packages) (packages.List, error) {
	b, err := decodeText(z, "package list", p.Content)
	if err != nil {
		return packages.List{}, err
	}
	l, err := packages.Parse(b)
	if err != nil {
		return packages.List{}, fmt.Errorf("package list %s: %w: %w", p.Blob, ErrCorrupt, err)
	}
	if l.Manager != p.Manager || int64(len(l.Packages)) != p.Count {
		return packages.List{}, fmt.Errorf("package list %s: %w: it has %d packages of %s, not %d of %s", p.Blob,
			ErrCorrupt, len(l.Packages), l.Manager, p.Count, p.Manager)
	}
	return l, nil
}
