package lxd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"sync"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd/metadata"
)

type image struct {
	Fingerprint string            `json:"fingerprint"`
	Properties  map[string]string `json:"properties"`
	Size        int64             `json:"size"`
}

// resource is an image of ours, and false for another.
func (i *image) resource() (provider.Resource, bool) {
	r := provider.Resource{
		Kind: provider.KindImage, Name: i.Properties[provider.LabelName], ID: i.Fingerprint,
		State: provider.Ready, Size: i.Size, Want: i.Properties[provider.LabelWant],
		Digest: i.Properties[provider.LabelDigest],
	}
	return r, i.Properties[provider.LabelKind] == string(provider.KindImage) && r.Name != "" && r.Digest != ""
}

// images lists our images.
func (p *Provider) images(ctx context.Context) ([]provider.Resource, error) {
	var all []image
	if _, err := p.client.get(ctx, endpoint("images"), &all, "recursion", "1"); err != nil {
		return nil, err
	}
	var found []provider.Resource
	for _, i := range all {
		if r, ok := i.resource(); ok {
			found = append(found, r)
		}
	}
	return found, nil
}

func (p *Provider) ensureImage(ctx context.Context, w *provider.Image) (provider.Resource, error) {
	// Two names can stand for the same bytes, which are sent once.
	unlock, err := p.locks.lock(ctx, "digest/"+w.Digest)
	if err != nil {
		return provider.Resource{}, err
	}
	defer unlock()
	all, err := p.images(ctx)
	if err != nil {
		return provider.Resource{}, err
	}
	for _, r := range all {
		if r.Digest == w.Digest {
			return r, nil
		}
	}
	for _, r := range all {
		if r.Name == w.Name {
			return r, nil
		}
	}
	id, err := p.upload(ctx, w)
	if err != nil && !errors.Is(err, provider.ErrTaken) {
		return provider.Resource{}, err
	}
	// Another process may have sent the same bytes meanwhile: their fingerprint is the same.
	var i image
	if _, err2 := p.client.get(ctx, endpoint("images", id), &i); err2 != nil {
		return provider.Resource{}, cmp.Or(err, err2)
	}
	r, ok := i.resource()
	if !ok {
		return provider.Resource{}, fmt.Errorf("LXD's image %s has its bytes and not its labels: %w",
			id, provider.ErrTaken)
	}
	return r, nil
}

// upload sends an image as two files, the description and the tree as it is, and returns the fingerprint: the SHA-256
// of both, one after the other.
func (p *Provider) upload(ctx context.Context, w *provider.Image) (string, error) {
	meta, err := metadata.Tar(metadata.Image{Arch: w.Arch, Properties: map[string]string{
		provider.LabelKind: string(provider.KindImage), provider.LabelName: w.Name, provider.LabelWant: w.Fingerprint(),
		provider.LabelDigest: w.Digest, "description": w.Name,
	}})
	if err != nil {
		return "", err
	}
	root, err := w.Open()
	if err != nil {
		return "", fmt.Errorf("opening it: %w", err)
	}
	defer root.Close()
	body := &checked{ctx: ctx, r: io.NewSectionReader(root, 0, w.Size), left: w.Size, want: w.Digest,
		root: sha256.New(), both: sha256.New()}
	body.both.Write(meta)

	// The form is written with nothing for the tree, whose bytes go in between, so that the length is known.
	var form bytes.Buffer
	f := multipart.NewWriter(&form)
	part, err := f.CreateFormFile("metadata", "metadata.tar")
	if err == nil {
		_, err = part.Write(meta)
	}
	if err == nil {
		_, err = f.CreateFormFile("rootfs", w.Name+".tar")
	}
	head := form.Len()
	if err = cmp.Or(err, f.Close()); err != nil {
		return "", err
	}
	whole := io.MultiReader(bytes.NewReader(form.Bytes()[:head]), body, bytes.NewReader(form.Bytes()[head:]))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.client.address(endpoint("images")), whole)
	if err != nil {
		return "", err
	}
	req.ContentLength = int64(form.Len()) + w.Size
	req.Header.Set("Content-Type", f.FormDataContentType())
	a, err := p.client.send(ctx, req, nil)
	id, bad := body.result()
	if bad != nil {
		return "", bad
	}
	if err != nil {
		return id, err
	}
	op, err := p.client.await(ctx, a)
	if err != nil {
		return id, err
	}
	if got, _ := op.Metadata["fingerprint"].(string); got != id {
		return "", fmt.Errorf("LXD says that it got %q, and %s was sent", got, id)
	}
	return id, nil
}

// checked reads an image's tree, and ends in an error unless it is what its digest says: LXD then drops what it got.
type checked struct {
	ctx        context.Context
	mu         sync.Mutex // an early answer comes while the body is still being sent
	r          io.Reader
	left       int64
	want       string
	root, both hash.Hash
	err        error
}

// Read implements io.Reader.
func (c *checked) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.root.Write(b[:n])
	c.both.Write(b[:n])
	c.left -= int64(n)
	// The last bytes are kept back until it is known that all are right.
	if c.left == 0 {
		if got := "sha256:" + hex.EncodeToString(c.root.Sum(nil)); got != c.want {
			c.err = fmt.Errorf("its bytes are %s and not %s: %w", got, c.want, provider.ErrInvalid)
			return 0, c.err
		}
	} else if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		c.err = fmt.Errorf("reading it, with %d bytes to come: %w", c.left, err)
		return n, c.err
	}
	return n, err
}

// result is the digest of all that was read, in hex, and why it is not what it should be.
func (c *checked) result() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return hex.EncodeToString(c.both.Sum(nil)), c.err
}

func (p *Provider) removeImage(ctx context.Context, r provider.Resource) error {
	var i image
	tag, err := p.client.get(ctx, endpoint("images", r.ID), &i)
	if err != nil {
		return err
	}
	if has, ok := i.resource(); !ok || has.ID != r.ID || has.Name != r.Name {
		return fmt.Errorf("LXD's image %s does not have its labels: %w", r.ID, provider.ErrTaken)
	}
	return p.client.do(ctx, http.MethodDelete, endpoint("images", r.ID), nil, tag)
}
