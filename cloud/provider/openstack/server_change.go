package openstack

import (
	"context"
	"fmt"
	"slices"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// changeServer brings firewall, address and volumes of a server that is there to what is wanted. One that is being made
// or was made from something else is left as it is.
func (p *Provider) changeServer(ctx context.Context, s servers.Server, w *provider.Server) error {
	r := serverResource(s)
	switch {
	case r.State == provider.Removing:
		return fmt.Errorf("the one before is still being removed: %w", provider.ErrTemporary)
	case r.State != provider.Ready && r.State != provider.Stopped, r.Want != w.Fingerprint():
		return nil
	}
	held, err := p.ourPorts(ctx, w.Stack)
	if err != nil {
		return err
	}
	port, there := held[w.Name]
	if there {
		if port, err = p.protect(ctx, port, w.Firewall); err != nil {
			return err
		}
	}
	if there || w.Address != "" {
		if !there {
			return fmt.Errorf("its port: %w", provider.ErrNotFound)
		}
		if err := p.bindAddress(ctx, w.Stack, port, w.Address); err != nil {
			return err
		}
	}
	return p.changeVolumes(ctx, s, w)
}

// changeVolumes takes away the stack's volumes that are not wanted, and attaches the missing ones one after the other,
// so that the server sees them in that order. What somebody else attached stays.
func (p *Provider) changeVolumes(ctx context.Context, s servers.Server, w *provider.Server) error {
	if p.volume == nil && len(w.Volumes) == 0 {
		return nil
	}
	if err := p.wantVolumes(ctx, w.Volumes, s.ID); err != nil {
		return err
	}
	ours, err := p.ourVolumes(ctx, w.Stack)
	if err != nil {
		return err
	}
	has := func(id string) bool {
		return slices.ContainsFunc(s.AttachedVolumes, func(a servers.AttachedVolume) bool { return a.ID == id })
	}
	for _, v := range ours {
		if has(v.ID) && !slices.Contains(w.Volumes, v.ID) {
			if err := volumeattach.Delete(ctx, p.compute, s.ID, v.ID).ExtractErr(); err != nil && !isNotFound(err) {
				return fmt.Errorf("taking volume %s away: %w", v.ID, err)
			}
		}
	}
	for _, id := range w.Volumes {
		if has(id) {
			continue
		}
		if _, err := volumeattach.Create(ctx, p.compute, s.ID,
			volumeattach.CreateOpts{VolumeID: id}).Extract(); err != nil {
			return fmt.Errorf("attaching volume %s: %w", id, err)
		}
	}
	return nil
}

// removeServer deletes a server and its port, whose address is free from then on.
func (p *Provider) removeServer(ctx context.Context, r provider.Resource) error {
	s, err := servers.Get(ctx, p.compute, r.ID).Extract()
	gone := isNotFound(err)
	if err != nil && !gone {
		return err
	}
	if !gone {
		if l, ok := parseMetadata(s.Metadata); !owns(l, ok, r) {
			return taken(r)
		}
		if err := servers.Delete(ctx, p.compute, r.ID).ExtractErr(); err != nil && !isNotFound(err) {
			return err
		}
	}
	held, err := p.ourPorts(ctx, r.Stack)
	if err != nil {
		return err
	}
	// A port that nobody has yet can be that of the next server of this name, unless this one was there until now.
	o, there := held[r.Name]
	if !there || o.DeviceID != r.ID && (gone || o.DeviceID != "") {
		return nil
	}
	return ports.Delete(ctx, p.network, o.ID).ExtractErr()
}
