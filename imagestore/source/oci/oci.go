// Package oci reads container images from an OCI image layout: a directory, or a tar archive of one, as skopeo, umoci,
// buildah and docker write it.
//
// Open the layout, choose an image with Layout.Image, and add its layers to an archive.Tree with Image.Apply. Then
// close the layout.
//
//	oci-layout                 {"imageLayoutVersion":"1.0.0"}
//	index.json                 descriptors of manifests, and of indexes of manifests; a tag is an annotation of one
//	blobs/sha256/HEX           manifest -> configuration (architecture, digests of the layers' content)
//	                                    -> layers (tar, bare or compressed)
//
// A descriptor is a digest and a size, and its content is refused if it has others: manifests before they are used,
// and layers after they were read, which is too late for the tree but before the end of its stream, without which
// receivers refuse it. A layer's content must also have the digest that the configuration says. So the image is
// exactly the one that index.json names; who may write index.json is not checked.
//
// What the configuration says beside (commands, environment, ports, volumes) is not part of the tree.
//
// Limits: JSON documents have at most 4 MiB, indexes lie at most 4 deep, a layout has at most a million files, and an
// image 1000 layers. A directory is read through os.Root: no link leads out of it. A tar archive of a layout must not
// be compressed, because its files are read in another order than they lie. sha256 and sha512 are known.
//
// Sources: OCI image-spec 1.1, image-layout.md, image-index.md, manifest.md, descriptor.md, layer.md; Docker's media
// types (distribution's manifest-v2-2).
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"griddle/imagestore/source/archive"
)

// Errors on which callers branch.
var (
	// ErrMalformed is wrapped if the directory or archive is not a layout, or its content does not match its digests.
	ErrMalformed = errors.New("malformed image layout")
	// ErrNoImage is wrapped if the layout has no such image, or several.
	ErrNoImage = errors.New("no such image")
)

const (
	maxDocument = 4 << 20
	maxDepth    = 4
	maxLayers   = 1000
	maxFiles    = 1 << 20
)

// Layout is an open image layout.
type Layout struct {
	files files
	index index
}

// Open opens the layout at path, a directory or an uncompressed tar archive, and reads its index.
func Open(path string) (*Layout, error) {
	f, err := openFiles(path)
	if err == nil {
		var l *Layout
		if l, err = open(f); err == nil {
			return l, nil
		}
		f.close()
	}
	return nil, fmt.Errorf("opening image layout %s: %w", path, err)
}

func open(f files) (*Layout, error) {
	l := &Layout{files: f}
	var mark struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := l.document("oci-layout", nil, &mark); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(mark.Version, "1.") {
		return nil, fmt.Errorf("%w: version %q, want 1", ErrMalformed, mark.Version)
	}
	return l, l.document("index.json", nil, &l.index)
}

// Close closes what Open opened.
func (l *Layout) Close() error { return l.files.close() }

// descriptor names a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    *platform         `json:"platform"`
}

type platform struct {
	Architecture string `json:"architecture"` // as GOARCH
	OS           string `json:"os"`
	Variant      string `json:"variant"`
}

type index struct {
	Manifests []descriptor `json:"manifests"`
}

type manifest struct {
	Config descriptor   `json:"config"`
	Layers []descriptor `json:"layers"`
}

type configuration struct {
	platform
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// document reads a JSON document: the blob of d, or, where that is nil, the file of that name.
func (l *Layout) document(name string, d *descriptor, to any) error {
	var b []byte
	var err error
	if d != nil {
		name = d.Digest
		b, err = l.small(*d)
	} else {
		b, err = l.file(name)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return nil
}

func (l *Layout) file(name string) ([]byte, error) {
	r, size, err := l.files.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxDocument {
		return nil, fmt.Errorf("%w: %s has %d bytes, limit %d", ErrMalformed, name, size, maxDocument)
	}
	return io.ReadAll(io.LimitReader(r, maxDocument))
}

// small reads a blob that is a document, and checks it.
func (l *Layout) small(d descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%w: %s has %d bytes, limit %d", ErrMalformed, d.Digest, d.Size, maxDocument)
	}
	r, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return b, r.whole()
}

// Image is one image of a layout.
type Image struct {
	Arch string // as GOARCH
	Size int64  // bytes of the layers as they are stored

	layout  *Layout
	layers  []descriptor
	diffIDs []string
}

// Image finds the image with the tag ("" if the layout has only one) for the architecture, as GOARCH names it. If the
// layout has the image for one other architecture only, it returns that.
func (l *Layout) Image(tag, arch string) (*Image, error) {
	i, err := l.image(tag, arch)
	if err != nil {
		return nil, fmt.Errorf("looking for image: %w", err)
	}
	return i, nil
}

func (l *Layout) image(tag, arch string) (*Image, error) {
	d, err := l.choose(tag, arch)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := l.document("", &d, &m); err != nil {
		return nil, err
	}
	var c configuration
	if err := l.document("", &m.Config, &c); err != nil {
		return nil, err
	}
	switch {
	case len(m.Layers) > maxLayers:
		return nil, fmt.Errorf("%w: %d layers, limit %d", ErrMalformed, len(m.Layers), maxLayers)
	case len(c.RootFS.DiffIDs) != len(m.Layers) || len(m.Layers) == 0:
		return nil, fmt.Errorf("%w: %s has %d layers, and its configuration %d: it is not an image of a file system",
			ErrMalformed, d.Digest, len(m.Layers), len(c.RootFS.DiffIDs))
	case c.OS != "" && c.OS != "linux":
		return nil, fmt.Errorf("%w: it is for %s", ErrNoImage, c.OS)
	}
	i := &Image{Arch: c.Architecture, layout: l, layers: m.Layers, diffIDs: c.RootFS.DiffIDs}
	for _, layer := range m.Layers {
		if !isLayer(layer.MediaType) {
			return nil, fmt.Errorf("%w: a layer of type %q", ErrMalformed, layer.MediaType)
		}
		if layer.Size < 0 || layer.Size > 1<<50 {
			return nil, fmt.Errorf("%w: a layer of %d bytes", ErrMalformed, layer.Size)
		}
		i.Size += layer.Size
	}
	return i, nil
}

// isLayer says whether a media type is one of a layer that can be read. Which compression it has, the layer itself
// tells.
func isLayer(mediaType string) bool {
	for _, prefix := range []string{"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"} {
		if rest, ok := strings.CutPrefix(mediaType, prefix); ok {
			return rest == "" || rest == "+gzip" || rest == "+zstd" || rest == ".gzip" || rest == ".zstd"
		}
	}
	return false
}

// Apply adds the layers to t, lowest first, and checks their digests on the way. After an error, do not finish t.
func (i *Image) Apply(ctx context.Context, t *archive.Tree) error {
	for n, d := range i.layers {
		if err := i.apply(ctx, t, d, i.diffIDs[n]); err != nil {
			return fmt.Errorf("layer %d of %d, %s: %w", n+1, len(i.layers), d.Digest, err)
		}
	}
	return nil
}

func (i *Image) apply(ctx context.Context, t *archive.Tree, d descriptor, diffID string) error {
	stored, err := i.layout.blob(d)
	if err != nil {
		return err
	}
	defer stored.Close()
	bare, err := archive.Decompress(stored)
	if err != nil {
		return err
	}
	defer bare.Close()
	content, err := newCheck(bare, diffID, -1)
	if err != nil {
		return err
	}
	if err := t.Layer(ctx, content); err != nil {
		return err
	}
	if err := content.whole(); err != nil {
		return fmt.Errorf("its content: %w", err)
	}
	return stored.whole()
}
