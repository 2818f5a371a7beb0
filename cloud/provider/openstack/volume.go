package openstack

import (
	"context"
	"fmt"
	"strings"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
)

func volumeResource(v volumes.Volume, l labels) provider.Resource {
	r := provider.Resource{
		Kind: provider.KindVolume, Stack: l.stack, Name: l.name, ID: v.ID, State: provider.Pending, Want: l.want,
		Size: int64(v.Size) << 30,
	}
	if len(v.Attachments) > 0 {
		r.Bound = v.Attachments[0].ServerID
	}
	switch {
	case v.Status == "available" || v.Status == "in-use":
		r.State = provider.Ready
	case v.Status == "deleting":
		r.State = provider.Removing
	case strings.HasPrefix(v.Status, "error"):
		r.State, r.Reason = provider.Failed, "the volume service says "+v.Status
	}
	return r
}

func volumeAge(v volumes.Volume) made { return made{v.ID, v.CreatedAt} }

// ourVolumes lists the volumes of a stack by name.
func (p *Provider) ourVolumes(ctx context.Context, stack string) (map[string]volumes.Volume, error) {
	if p.volume == nil {
		return nil, nil
	}
	pages, err := volumes.List(p.volume, volumes.ListOpts{}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := volumes.ExtractVolumes(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]volumes.Volume)
	for _, v := range all {
		l, ok := parseMetadata(v.Metadata)
		if !ok || l.stack != stack || l.kind != provider.KindVolume {
			continue
		}
		if old, there := ours[l.name]; !there || volumeAge(v).before(volumeAge(old)) {
			ours[l.name] = v
		}
	}
	return ours, nil
}

func (p *Provider) listVolumes(ctx context.Context, stack string) ([]provider.Resource, error) {
	ours, err := p.ourVolumes(ctx, stack)
	var some []provider.Resource
	for _, v := range ours {
		l, _ := parseMetadata(v.Metadata)
		some = append(some, volumeResource(v, l))
	}
	return some, err
}

// onlineExtend is the version of cinder's interface since which a volume can grow while a server has it.
const onlineExtend = "volume 3.42"

func (p *Provider) ensureVolume(ctx context.Context, w *provider.Volume) (provider.Resource, error) {
	l := labelsOf(w)
	size := int(w.Size >> 30)
	ours, err := p.ourVolumes(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	v, there := ours[w.Name]
	if !there {
		mine, err := volumes.Create(ctx, p.volume, volumes.CreateOpts{
			Name: l.title(), Size: size, VolumeType: w.Type, AvailabilityZone: p.options.Zone, Metadata: l.metadata(),
		}, nil).Extract()
		if err != nil {
			return provider.Resource{}, err
		}
		if ours, err = p.ourVolumes(ctx, w.Stack); err != nil {
			return provider.Resource{}, err
		}
		if v, there = ours[w.Name]; !there {
			return provider.Resource{}, fmt.Errorf("volume %s is not listed yet: %w", mine.ID, provider.ErrTemporary)
		}
		if v.ID != mine.ID {
			// It is blank, and nobody else knows of it.
			if err := volumes.Delete(ctx, p.volume, mine.ID, nil).ExtractErr(); err != nil && !isNotFound(err) {
				return provider.Resource{}, err
			}
		}
	}
	has, _ := parseMetadata(v.Metadata)
	r := volumeResource(v, has)
	if r.State == provider.Removing {
		return provider.Resource{}, fmt.Errorf("the one before is still being removed: %w", provider.ErrTemporary)
	}
	if v.Size >= size || r.State == provider.Failed {
		return r, nil
	}
	if r.State == provider.Pending {
		return provider.Resource{}, fmt.Errorf("it is %s and cannot grow yet: %w", v.Status, provider.ErrTemporary)
	}
	service := *p.volume
	if v.Status == "in-use" {
		service.MoreHeaders = map[string]string{"OpenStack-API-Version": onlineExtend}
	}
	if err := volumes.ExtendSize(ctx, &service, v.ID, volumes.ExtendSizeOpts{NewSize: size}).ExtractErr(); err != nil {
		return provider.Resource{}, fmt.Errorf("growing it to %d GiB: %w", size, err)
	}
	r.State = provider.Pending
	return r, nil
}

// wantVolumes says whether a server can have the volumes: each is there, and no other server's. An empty server is
// one that is to be made.
func (p *Provider) wantVolumes(ctx context.Context, ids []string, server string) error {
	if len(ids) > 0 && p.volume == nil {
		return fmt.Errorf("%s: %w", p.features.Lacks[provider.KindVolume], provider.ErrUnsupported)
	}
	for _, id := range ids {
		v, err := volumes.Get(ctx, p.volume, id).Extract()
		if err != nil {
			return fmt.Errorf("its volume %s: %w", id, err)
		}
		for _, a := range v.Attachments {
			if a.ServerID != server {
				return fmt.Errorf("its volume %s belongs to server %s: %w", id, a.ServerID, provider.ErrTemporary)
			}
		}
		if server == "" && v.Status != "available" {
			return fmt.Errorf("its volume %s is %s: %w", id, v.Status, provider.ErrTemporary)
		}
	}
	return nil
}

func (p *Provider) removeVolume(ctx context.Context, r provider.Resource) error {
	if p.volume == nil {
		return nil
	}
	v, err := volumes.Get(ctx, p.volume, r.ID).Extract()
	if err != nil {
		return err
	}
	if l, ok := parseMetadata(v.Metadata); !owns(l, ok, r) {
		return taken(r)
	}
	if len(v.Attachments) > 0 {
		return fmt.Errorf("server %s has it: %w", v.Attachments[0].ServerID, provider.ErrTemporary)
	}
	if v.Status == "deleting" {
		return nil
	}
	return volumes.Delete(ctx, p.volume, r.ID, nil).ExtractErr()
}
