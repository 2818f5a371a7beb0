package openstack

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// external returns the ID of the network that leads out: the named one (by name or ID), or the only one there is. It is
// empty where none is named and there is none.
func (p *Provider) external(ctx context.Context, name string) (string, error) {
	if name == "" {
		name = p.options.External
	}
	yes := true
	pages, err := networks.List(p.network,
		external.ListOptsExt{ListOptsBuilder: networks.ListOpts{}, External: &yes}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	all, err := networks.ExtractNetworks(pages)
	if err != nil {
		return "", err
	}
	if name != "" {
		all = slices.DeleteFunc(all, func(n networks.Network) bool { return n.ID != name && n.Name != name })
	}
	switch {
	case len(all) == 1:
		return all[0].ID, nil
	case name != "":
		return "", fmt.Errorf("%d external networks are called %q: %w", len(all), name, provider.ErrInvalid)
	case len(all) > 1:
		return "", fmt.Errorf("the cloud has %d external networks, and none is named: %w", len(all),
			provider.ErrInvalid)
	}
	return "", nil
}

func networkResource(n networks.Network, l labels) provider.Resource {
	r := provider.Resource{Kind: provider.KindNetwork, Stack: l.stack, Name: l.name, ID: n.ID,
		State: provider.Pending, Want: l.want}
	switch {
	case n.Status == "ERROR":
		r.State, r.Reason = provider.Failed, "the network service says ERROR"
	case n.Status != "BUILD" && l.done:
		r.State = provider.Ready
	}
	return r
}

// ourNetworks lists the networks of a stack, one a name.
func (p *Provider) ourNetworks(ctx context.Context, stack string) (map[string]networks.Network, error) {
	pages, err := networks.List(p.network, networks.ListOpts{ProjectID: p.project}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := networks.ExtractNetworks(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]networks.Network)
	for _, n := range all {
		l, ok := parseDescription(n.Description)
		if !ok || l.stack != stack || l.kind != provider.KindNetwork {
			continue
		}
		if old, there := ours[l.name]; !there || networkAge(n).before(networkAge(old)) {
			ours[l.name] = n
		}
	}
	return ours, nil
}

func networkAge(n networks.Network) made { return made{n.ID, n.CreatedAt} }

func (p *Provider) listNetworks(ctx context.Context, stack string) ([]provider.Resource, error) {
	ours, err := p.ourNetworks(ctx, stack)
	var some []provider.Resource
	for _, n := range ours {
		l, _ := parseDescription(n.Description)
		some = append(some, networkResource(n, l))
	}
	return some, err
}

// ensureNetwork makes what of network, subnet, router and interface is not there, and says so in the network's
// description when all is.
func (p *Provider) ensureNetwork(ctx context.Context, w *provider.Network) (provider.Resource, error) {
	l := labelsOf(w)
	ours, err := p.ourNetworks(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	n, there := ours[w.Name]
	if there {
		has, _ := parseDescription(n.Description)
		if has.done || has.want != l.want {
			return networkResource(n, has), nil
		}
	}
	out, err := p.external(ctx, w.External)
	if err != nil {
		return provider.Resource{}, err
	}
	if !there {
		mine, err := networks.Create(ctx, p.network,
			networks.CreateOpts{Name: l.title(), Description: l.describe()}).Extract()
		if err != nil {
			return provider.Resource{}, err
		}
		if ours, err = p.ourNetworks(ctx, w.Stack); err != nil {
			return provider.Resource{}, err
		}
		if n = ours[w.Name]; n.ID != mine.ID {
			// it has no parts; where this fails, List shows it when the other is gone
			networks.Delete(ctx, p.network, mine.ID)
			return provider.Resource{}, fmt.Errorf("another program makes it: %w", provider.ErrTemporary)
		}
		p.tag(ctx, "networks", n.ID, l)
	}
	subnet, err := p.ensureSubnet(ctx, n.ID, w)
	if err != nil {
		return provider.Resource{}, fmt.Errorf("its subnet: %w", err)
	}
	if out != "" {
		if err := p.ensureRouter(ctx, subnet, out, l); err != nil {
			return provider.Resource{}, fmt.Errorf("its router: %w", err)
		}
	}
	l.done = true
	text := l.describe()
	done, err := networks.Update(ctx, p.network, n.ID, networks.UpdateOpts{Description: &text}).Extract()
	if err != nil {
		return provider.Resource{}, err
	}
	return networkResource(*done, l), nil
}

// ensureSubnet returns the ID of a network's subnet.
func (p *Provider) ensureSubnet(ctx context.Context, network string, w *provider.Network) (string, error) {
	all, err := p.subnetsOf(ctx, network)
	if err != nil {
		return "", err
	}
	if len(all) > 0 {
		return all[0].ID, nil
	}
	l := labelsOf(w).part(partSubnet)
	gateway := w.Prefix.Masked().Addr().Next().String()
	var dns []string
	for _, a := range w.DNS {
		dns = append(dns, a.String())
	}
	s, err := subnets.Create(ctx, p.network, subnets.CreateOpts{
		NetworkID: network, CIDR: w.Prefix.Masked().String(), IPVersion: gophercloud.IPv4, GatewayIP: &gateway,
		DNSNameservers: dns, Name: l.title(), Description: l.describe(),
	}).Extract()
	if err != nil {
		return "", err
	}
	p.tag(ctx, "subnets", s.ID, l)
	return s.ID, nil
}

func (p *Provider) subnetsOf(ctx context.Context, network string) ([]subnets.Subnet, error) {
	pages, err := subnets.List(p.network, subnets.ListOpts{NetworkID: network}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	return subnets.ExtractSubnets(pages)
}

// routersOf lists the routers that were made for the network that bears l.
func (p *Provider) routersOf(ctx context.Context, l labels) ([]routers.Router, error) {
	pages, err := routers.List(p.network, routers.ListOpts{ProjectID: p.project}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := routers.ExtractRouters(pages)
	return slices.DeleteFunc(all, func(r routers.Router) bool {
		has, ok := parseDescription(r.Description)
		return !ok || !has.same(l.part(partRouter))
	}), err
}

// ensureRouter has a router lead from the subnet to the external network.
func (p *Provider) ensureRouter(ctx context.Context, subnet, out string, network labels) error {
	l := network.part(partRouter)
	all, err := p.routersOf(ctx, network)
	if err != nil {
		return err
	}
	var id string
	if len(all) > 0 {
		id = all[0].ID
	} else {
		r, err := routers.Create(ctx, p.network, routers.CreateOpts{
			Name: l.title(), Description: l.describe(), GatewayInfo: &routers.GatewayInfo{NetworkID: out},
		}).Extract()
		if err != nil {
			return err
		}
		id = r.ID
		p.tag(ctx, "routers", id, l)
	}
	interfaces, err := p.interfacesOf(ctx, id)
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if slices.ContainsFunc(i.FixedIPs, func(ip ports.IP) bool { return ip.SubnetID == subnet }) {
			return nil
		}
	}
	_, err = routers.AddInterface(ctx, p.network, id, routers.AddInterfaceOpts{SubnetID: subnet}).Extract()
	return err
}

// interfacesOf lists the ports by which a router is in networks of the project.
func (p *Provider) interfacesOf(ctx context.Context, router string) ([]ports.Port, error) {
	pages, err := ports.List(p.network, ports.ListOpts{DeviceID: router}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := ports.ExtractPorts(pages)
	// Distributed and highly available routers have other owners, which begin in the same way.
	return slices.DeleteFunc(all, func(o ports.Port) bool { return !isRouterInterface(o.DeviceOwner) }), err
}

func isRouterInterface(owner string) bool {
	switch owner {
	case "network:router_interface", "network:router_interface_distributed", "network:ha_router_replicated_interface":
		return true
	}
	return false
}

// tag repeats labels as tags. They are for people, and a cloud can be without: what goes wrong is left.
func (p *Provider) tag(ctx context.Context, kind, id string, l labels) {
	attributestags.ReplaceAll(ctx, p.network, kind, id, attributestags.ReplaceAllOpts{Tags: l.tags()})
}

// prefixes returns the IPv4 networks of a stack.
func (p *Provider) prefixes(ctx context.Context, stack string) ([]netip.Prefix, error) {
	ours, err := p.ourNetworks(ctx, stack)
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, n := range ours {
		some, err := p.subnetsOf(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		for _, s := range some {
			if prefix, err := netip.ParsePrefix(s.CIDR); err == nil && prefix.Addr().Is4() {
				all = append(all, prefix)
			}
		}
	}
	return all, nil
}
