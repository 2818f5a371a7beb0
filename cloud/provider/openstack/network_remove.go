package openstack

import (
	"context"
	"fmt"
	"strings"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// removeNetwork takes a network away with its router. As long as a server is in it nothing is touched.
func (p *Provider) removeNetwork(ctx context.Context, r provider.Resource) error {
	n, err := networks.Get(ctx, p.network, r.ID).Extract()
	if err != nil {
		return err
	}
	if l, ok := parseDescription(n.Description); !owns(l, ok, r) {
		return taken(r)
	}
	if err := p.removeStray(ctx, r); err != nil {
		return err
	}
	mine, err := p.routersOf(ctx, labels{kind: r.Kind, stack: r.Stack, name: r.Name})
	if err != nil {
		return err
	}
	for _, router := range mine {
		if err := p.removeRouter(ctx, router.ID); err != nil {
			return fmt.Errorf("its router: %w", err)
		}
	}
	return networks.Delete(ctx, p.network, n.ID).ExtractErr()
}

// removeStray takes away the ports of servers that were never made, or are gone. A port in use is an ErrTemporary.
func (p *Provider) removeStray(ctx context.Context, r provider.Resource) error {
	pages, err := ports.List(p.network, ports.ListOpts{NetworkID: r.ID}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := ports.ExtractPorts(pages)
	if err != nil {
		return err
	}
	var stray []ports.Port
	for _, o := range all {
		l, ok := parseDescription(o.Description)
		ours := ok && l.kind == partPort && l.stack == r.Stack
		switch {
		case o.DeviceID == "" && ours:
			stray = append(stray, o)
		case o.DeviceID == "" || strings.HasPrefix(o.DeviceOwner, "compute:"):
			return fmt.Errorf("port %q is in it: %w", o.Name, provider.ErrTemporary)
		}
	}
	for _, o := range stray {
		if err := ports.Delete(ctx, p.network, o.ID).ExtractErr(); err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

func (p *Provider) removeRouter(ctx context.Context, id string) error {
	interfaces, err := p.interfacesOf(ctx, id)
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		_, err := routers.RemoveInterface(ctx, p.network, id, routers.RemoveInterfaceOpts{PortID: i.ID}).Extract()
		if err != nil && !isNotFound(err) {
			return err
		}
	}
	if err := routers.Delete(ctx, p.network, id).ExtractErr(); err != nil && !isNotFound(err) {
		return err
	}
	return nil
}
