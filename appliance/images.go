package appliance

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/api"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// images is what the API sees of the image store.
type images struct{ store *imagestore.Store }

// absent is an error of the store that means that there is no such image to be had.
type absent struct{ error }

// Is makes it api.ErrNoImage.
func (absent) Is(target error) bool { return target == api.ErrNoImage }

// Unwrap returns the store's error.
func (a absent) Unwrap() error { return a.error }

// Choices implements api.Images: every image that can be installed, the newest of a template first.
func (i images) Choices(ctx context.Context) ([]job.ImageChoice, error) {
	listed, err := i.store.List(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]job.ImageChoice, 0, len(listed))
	for _, l := range listed {
		if l.Installable() != nil {
			continue
		}
		out = append(out, job.ImageChoice{Ref: l.Ref, Description: l.Description, Size: l.Size, Wire: l.Wire,
			Published: l.Published, NoKernel: l.NoKernel})
	}
	return out, nil
}

// Settings implements api.Images.
func (i images) Settings(ctx context.Context, image job.Image) ([]byte, error) {
	name, err := ref.Parse(image.Ref)
	if err != nil {
		return nil, absent{err}
	}
	m, err := i.store.Document(ctx, name)
	if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, minisign.ErrSignature) {
		return nil, absent{err}
	}
	return m.Settings, err
}

// Plan implements api.Images. An image without a kernel is refused before a machine restarts for it.
func (i images) Plan(ctx context.Context, text string) (job.Image, error) {
	name, err := ref.Parse(text)
	if err != nil {
		return job.Image{}, absent{err}
	}
	p, err := i.store.PlanWith(ctx, name, imagestore.PlanOptions{Dictionaries: true})
	if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, minisign.ErrSignature) {
		return job.Image{}, absent{err}
	}
	if err != nil {
		return job.Image{}, fmt.Errorf("planning %s: %w", text, err)
	}
	if l, err := i.store.Resolve(ctx, name); err == nil && l.Ref == p.Ref && l.NoKernel {
		return job.Image{}, absent{fmt.Errorf("%s has no kernel (neither /vmlinuz nor /boot/vmlinuz-*), "+
			"and no machine can be installed with it: install one in its template, and publish it again", p.Ref)}
	}
	out := job.Image{Ref: p.Ref, Document: string(p.Document), Size: p.Size}
	for _, s := range p.Streams {
		out.Streams = append(out.Streams,
			job.Stream{Document: string(s.Document), Index: string(s.Index), Raw: s.Raw, Wire: s.Wire})
	}
	return out, nil
}
