package openstack

import (
	"context"
	"fmt"
	"slices"
	"time"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

const (
	imageTag = "griddle-image"
	// verifiedLabel is set when what glance stored was compared with the digest.
	verifiedLabel = "griddle-verified"
	// abandoned is after how long an upload is no longer believed to go on: glance leaves the state
	// as it was when it dies.
	abandoned = 24 * time.Hour
)

// property is a property of an image, as text.
func property(i *images.Image, name string) string {
	s, _ := i.Properties[name].(string)
	return s
}

func isOurImage(i *images.Image) bool {
	return slices.Contains(i.Tags, imageTag) && property(i, provider.LabelKind) == string(provider.KindImage) &&
		property(i, provider.LabelName) != "" && property(i, provider.LabelDigest) != ""
}

func imageResource(i *images.Image) provider.Resource {
	r := provider.Resource{
		Kind: provider.KindImage, Name: property(i, provider.LabelName), ID: i.ID, Size: i.SizeBytes,
		Want: property(i, provider.LabelWant), Digest: property(i, provider.LabelDigest), State: provider.Pending,
	}
	switch i.Status {
	case images.ImageStatusActive:
		if property(i, verifiedLabel) != "" {
			r.State = provider.Ready
		}
	case images.ImageStatusDeleted, images.ImageStatusPendingDelete:
		r.State = provider.Removing
	case images.ImageStatusKilled, images.ImageStatusDeactivated:
		r.State, r.Reason = provider.Failed, "the image service says "+string(i.Status)
	case images.ImageStatusSaving, images.ImageStatusImporting:
		if time.Since(i.UpdatedAt) > abandoned {
			r.State, r.Reason = provider.Failed, "its upload was interrupted"
		}
	}
	return r
}

// ourImages lists the project's images that bear our labels.
func (p *Provider) ourImages(ctx context.Context) ([]images.Image, error) {
	pages, err := images.List(p.image, images.ListOpts{Owner: p.project, Tags: []string{imageTag}}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := images.ExtractImages(pages)
	return slices.DeleteFunc(all, func(i images.Image) bool { return !isOurImage(&i) }), err
}

func (p *Provider) listImages(ctx context.Context, _ string) ([]provider.Resource, error) {
	all, err := p.ourImages(ctx)
	var some []provider.Resource
	for i := range all {
		some = append(some, imageResource(&all[i]))
	}
	return some, err
}

func imageAge(i images.Image) made { return made{i.ID, i.CreatedAt} }

// findImage returns the image that has a digest; nil where there is none.
func (p *Provider) findImage(ctx context.Context, digest string) (*images.Image, error) {
	all, err := p.ourImages(ctx)
	all = slices.DeleteFunc(all, func(i images.Image) bool {
		return property(&i, provider.LabelDigest) != digest || imageResource(&i).State == provider.Removing
	})
	i, ok := oldest(all, imageAge)
	if err != nil || !ok {
		return nil, err
	}
	return &i, nil
}

// ensureImage sends an image, and has it bear verifiedLabel once what arrived was compared. Where a kill came between,
// the next call takes up what is there.
func (p *Provider) ensureImage(ctx context.Context, w *provider.Image) (provider.Resource, error) {
	i, err := p.findImage(ctx, w.Digest)
	if err != nil {
		return provider.Resource{}, err
	}
	if i == nil {
		mine, err := images.Create(ctx, p.image, p.imageOptions(w)).Extract()
		if err != nil {
			return provider.Resource{}, err
		}
		if i, err = p.findImage(ctx, w.Digest); err != nil {
			return provider.Resource{}, err
		}
		if i == nil {
			return provider.Resource{}, fmt.Errorf("image %s is not listed yet: %w", mine.ID, provider.ErrTemporary)
		}
		if i.ID != mine.ID {
			if err := images.Delete(ctx, p.image, mine.ID).ExtractErr(); err != nil && !isNotFound(err) {
				return provider.Resource{}, err
			}
		}
	}
	switch {
	case i.Status == images.ImageStatusQueued:
		return p.upload(ctx, i.ID, w)
	case i.Status == images.ImageStatusActive && property(i, verifiedLabel) == "":
		sums, err := sumOf(ctx, w)
		if err != nil {
			return provider.Resource{}, err
		}
		return p.verify(ctx, i.ID, w, sums)
	}
	return imageResource(i), nil
}

func (p *Provider) imageOptions(w *provider.Image) images.CreateOpts {
	private := images.ImageVisibilityPrivate
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[w.Arch]
	properties := map[string]string{
		provider.LabelKind: string(provider.KindImage), provider.LabelName: w.Name,
		provider.LabelDigest: w.Digest, provider.LabelWant: w.Fingerprint(),
		"architecture": arch, "os_type": "linux", "hw_disk_bus": "virtio", "hw_vif_model": "virtio",
	}
	// Without the property the hypervisor boots by its default, which on x86 is BIOS and on ARM UEFI.
	if w.UEFI && (p.options.UEFI || !w.BIOS) {
		properties["hw_firmware_type"] = "uefi"
	} else if w.Arch == "amd64" {
		properties["hw_firmware_type"] = "bios"
	}
	if w.User != "" {
		properties["os_admin_user"] = w.User
	}
	return images.CreateOpts{
		Name: w.Name, Visibility: &private, Tags: []string{imageTag}, ContainerFormat: "bare",
		DiskFormat: string(w.Format), MinDisk: int((w.Virtual + 1<<30 - 1) >> 30), Properties: properties,
	}
}

// upload sends the bytes to an image that has none.
func (p *Provider) upload(ctx context.Context, id string, w *provider.Image) (provider.Resource, error) {
	c, err := w.Open()
	if err != nil {
		return provider.Resource{}, fmt.Errorf("opening it: %w", err)
	}
	defer c.Close()
	body := newSummed(ctx, c, w.Size)
	if err := imagedata.Upload(ctx, p.image, id, body).ExtractErr(); err != nil {
		// Glance puts the image back to queued, so that the next call sends it again.
		return provider.Resource{}, err
	}
	return p.verify(ctx, id, w, body.sums())
}

// verify compares what glance stored with what was to be sent, and takes it away where it differs.
func (p *Provider) verify(ctx context.Context, id string, w *provider.Image, s sums) (provider.Resource, error) {
	i, err := images.Get(ctx, p.image, id).Extract()
	if err != nil {
		return provider.Resource{}, err
	}
	if i.Status != images.ImageStatusActive {
		return imageResource(i), nil
	}
	fault := s.compare(i, w)
	if fault == nil {
		if property(i, verifiedLabel) == "" {
			i, err = images.Update(ctx, p.image, id, images.UpdateOpts{
				images.UpdateImageProperty{Op: images.AddOp, Name: verifiedLabel, Value: "sha256"},
			}).Extract()
			if err != nil {
				return provider.Resource{}, err
			}
		}
		return imageResource(i), nil
	}
	if err := images.Delete(ctx, p.image, id).ExtractErr(); err != nil && !isNotFound(err) {
		return provider.Resource{}, fmt.Errorf("%w; it could not be deleted: %w", fault, err)
	}
	return provider.Resource{}, fault
}

func (p *Provider) removeImage(ctx context.Context, r provider.Resource) error {
	i, err := images.Get(ctx, p.image, r.ID).Extract()
	if err != nil {
		return err
	}
	if !isOurImage(i) || property(i, provider.LabelName) != r.Name || r.Stack != "" {
		return taken(r)
	}
	return images.Delete(ctx, p.image, r.ID).ExtractErr()
}
