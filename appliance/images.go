package appliance

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/api"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
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
		if name, err := ref.Parse(l.Ref); l.Installable() != nil || err != nil || name.Template() == kernels {
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

// Plan implements api.Images.
func (i images) Plan(ctx context.Context, text string, have ...string) (job.Image, error) {
	name, err := ref.Parse(text)
	if err != nil {
		return job.Image{}, absent{err}
	}
	p, err := i.store.PlanWith(ctx, name, imagestore.PlanOptions{Received: have, Dictionaries: true})
	if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, minisign.ErrSignature) {
		return job.Image{}, absent{err}
	}
	if err != nil {
		return job.Image{}, fmt.Errorf("planning %s: %w", text, err)
	}
	out := job.Image{Ref: p.Ref, Document: string(p.Document), Size: p.Size}
	for _, s := range p.Streams {
		out.Streams = append(out.Streams,
			job.Stream{Document: string(s.Document), Index: string(s.Index), Raw: s.Raw, Wire: s.Wire})
	}
	return out, nil
}

// kernels is the template of images with kernels.
const kernels = "griddle/kernel"

// Kernel implements api.Images. An image without a kernel is refused before a machine restarts for it, if there is no
// kernel that it could get.
func (i images) Kernel(ctx context.Context, image job.Image) (job.Image, error) {
	name, err := ref.Parse(image.Ref)
	if err != nil {
		return job.Image{}, absent{err}
	}
	if name.Template() == kernels {
		return job.Image{}, absent{fmt.Errorf("%s is not a system: machines get it as the kernel of images that have "+
			"none", image.Ref)}
	}
	l, err := i.store.Resolve(ctx, name)
	if err != nil || !l.NoKernel {
		return job.Image{}, err
	}
	kernel := kernels + "@" + name.Arch
	out, err := i.Plan(ctx, kernel)
	if errors.Is(err, api.ErrNoImage) {
		err = absent{fmt.Errorf("%s has no kernel (neither /vmlinuz nor /boot/vmlinuz-*), and this server has no "+
			"image %s for it: make one with `griddle publish kernel`, or install a kernel in the template and publish "+
			"it again", image.Ref, kernel)}
	}
	return out, err
}

// Updates implements api.Images. A root that systemd does not start cannot prove itself (package bless of initramfs): a
// machine would receive it in vain.
func (i images) Updates(ctx context.Context, image job.Image) error {
	opened, err := i.store.Open(ctx, fetch.Plan{Ref: image.Ref, Document: blob.Digest(image.Document)}, fetch.Options{})
	if err != nil {
		return err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return err
	}
	if err := m.CheckSystemd(); err != nil {
		return absent{fmt.Errorf("%s does not start with systemd: %w; machines cannot be updated to it, because no "+
			"root of it could prove itself: install systemd in its template (on Debian: systemd-sysv) and publish it "+
			"again", image.Ref, err)}
	}
	return nil
}

// names implements api.Names.
type names struct{ store *imagestore.Store }

// For implements api.Names.
func (names) For(asked, image string) string {
	name, err := ref.Parse(asked)
	has, hasErr := ref.Parse(image)
	if err != nil || hasErr != nil || name.Arch != "" {
		return asked
	}
	name.Arch = has.Arch
	return name.String()
}

// Follow implements api.Names.
func (n names) Follow(ctx context.Context, asked, image string) (string, error) {
	has, err := ref.Parse(image)
	if err != nil {
		return "", absent{err}
	}
	newest := ref.Ref{Namespace: has.Namespace, Name: has.Name, Arch: has.Arch}
	name, err := ref.Parse(asked)
	if err != nil || name.Template() != has.Template() || name.Version == "" || name.Version == ref.Latest {
		return newest.String(), nil
	}
	name.Arch = has.Arch
	l, err := n.store.Resolve(ctx, name)
	if errors.Is(err, catalog.ErrNotFound) || err == nil && l.Version == name.Version {
		return newest.String(), nil // a version, and not a channel, or one that was deleted
	}
	return name.String(), err
}

// Step implements api.Names.
func (names) Step(from, to string) (s api.Step) {
	a, err := ref.Parse(from)
	b, errB := ref.Parse(to)
	if err != nil || errB != nil {
		return api.Step{Other: true}
	}
	s.Arch = a.Arch != "" && b.Arch != "" && a.Arch != b.Arch
	s.Other = a.Template() != b.Template()
	s.Older = !s.Other && a.Version != "" && b.Version != "" && ref.CompareVersions(b.Version, a.Version) < 0
	return s
}
