package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"griddle/cloud/diskimage"
	"griddle/cloud/provider"
	"griddle/imagestore"
)

// catalogImages makes disks of the catalog's images. It implements cloud.Images.
type catalogImages struct {
	g   *clouds
	dir string
}

// Resolve implements cloud.Images: versions are references without an architecture.
func (c *catalogImages) Resolve(ctx context.Context, ref, arch string) (string, error) {
	r, err := imagestore.ParseRef(ref)
	if err != nil {
		return "", err
	}
	if r.Arch == "" {
		r.Arch = arch
	}
	st, err := openStore(c.g.e, c.g.store, false)
	if err != nil {
		return "", err
	}
	found, err := st.Resolve(ctx, r)
	if err != nil {
		return "", err
	}
	if found.Arch != arch {
		return "", fmt.Errorf("the image %s is for %s, and the server for %s", found.Ref, found.Arch, arch)
	}
	return found.Template + ":" + found.Version, nil
}

// Build implements cloud.Images.
func (c *catalogImages) Build(ctx context.Context, version, arch string, format provider.Format) (provider.Image, error) {
	ref, err := imagestore.ParseRef(version)
	if err != nil {
		return provider.Image{}, err
	}
	ref.Arch = arch
	st, err := openStore(c.g.e, c.g.store, false)
	if err != nil {
		return provider.Image{}, err
	}
	found, err := st.Resolve(ctx, ref)
	if err != nil {
		return provider.Image{}, err
	}
	dir := c.dir
	if dir == "" {
		home, err := c.g.home()
		if err != nil {
			return provider.Image{}, err
		}
		dir = filepath.Join(home, ".cache", "griddle", "disks")
	}
	cache := &diskimage.Cache{Dir: dir}
	d, err := cache.Make(ctx, diskimage.Image{Ref: found.Ref, Digest: string(found.Document), Arch: arch, Tar: func(ctx context.Context, w io.Writer) error {
		return st.Tar(ctx, ref, w, nil)
	}}, diskimage.Options{Format: diskimage.Format(format)})
	if err != nil {
		return provider.Image{}, fmt.Errorf("making a disk of %s: %w", found.Ref, err)
	}
	return provider.Image{Name: imageName(found, d.Digest), Digest: d.Digest, Format: format, Arch: arch, Size: d.Size, Virtual: d.Virtual, BIOS: d.BIOS, UEFI: d.UEFI,
		Open: func() (provider.Contents, error) { return os.Open(d.Path) }}, nil
}

// imageName is what a provider calls an image: readable, and different for different bytes.
func imageName(l imagestore.Listed, digest string) string {
	name := regexp.MustCompile(`[^a-z0-9.-]+`).ReplaceAllString(strings.ToLower(l.Template+"-"+l.Version+"-"+l.Arch), "-")
	name = strings.Trim(name[:min(len(name), 47)], ".-")
	return name + "-" + strings.TrimPrefix(digest, "sha256:")[:12]
}
