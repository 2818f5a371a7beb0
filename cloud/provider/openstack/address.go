package openstack

import (
	"context"
	"fmt"
	"net/netip"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// floating is a stack's floating address.
type floating struct {
	floatingips.FloatingIP
	labels
}

// ourAddresses lists the floating addresses of a stack by name.
func (p *Provider) ourAddresses(ctx context.Context, stack string) (map[string]floating, error) {
	pages, err := floatingips.List(p.network, floatingips.ListOpts{ProjectID: p.project}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := floatingips.ExtractFloatingIPs(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]floating)
	for _, a := range all {
		l, ok := parseDescription(a.Description)
		if !ok || l.stack != stack || l.kind != provider.KindAddress {
			continue
		}
		if old, there := ours[l.name]; !there || addressAge(a).before(addressAge(old.FloatingIP)) {
			ours[l.name] = floating{a, l}
		}
	}
	return ours, nil
}

func addressAge(a floatingips.FloatingIP) made { return made{a.ID, a.CreatedAt} }

// addressResource says what an address is; servers are those that ports belong to, by the ports' IDs.
func addressResource(a floating, servers map[string]string) provider.Resource {
	r := provider.Resource{
		Kind: provider.KindAddress, Stack: a.stack, Name: a.name, ID: a.ID, State: provider.Ready, Want: a.want,
		Bound: servers[a.PortID],
	}
	r.Public, _ = netip.ParseAddr(a.FloatingIP.FloatingIP)
	if a.Status == "ERROR" {
		r.State, r.Reason = provider.Failed, "the network service says ERROR"
	}
	return r
}

func (p *Provider) listAddresses(ctx context.Context, stack string) ([]provider.Resource, error) {
	ours, err := p.ourAddresses(ctx, stack)
	if err != nil || len(ours) == 0 {
		return nil, err
	}
	servers, err := p.serversOfPorts(ctx, stack)
	if err != nil {
		return nil, err
	}
	var some []provider.Resource
	for _, a := range ours {
		some = append(some, addressResource(a, servers))
	}
	return some, nil
}

// serversOfPorts maps the IDs of a stack's ports to those of the servers they belong to.
func (p *Provider) serversOfPorts(ctx context.Context, stack string) (map[string]string, error) {
	all, err := p.ourPorts(ctx, stack)
	servers := make(map[string]string)
	for _, o := range all {
		servers[o.ID] = o.DeviceID
	}
	return servers, err
}

func (p *Provider) ensureAddress(ctx context.Context, w *provider.Address) (provider.Resource, error) {
	l := labelsOf(w)
	ours, err := p.ourAddresses(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	if _, there := ours[w.Name]; !there {
		out, err := p.external(ctx, w.External)
		if err != nil {
			return provider.Resource{}, err
		}
		if out == "" {
			return provider.Resource{}, fmt.Errorf("the cloud has no external network: %w", provider.ErrUnsupported)
		}
		mine, err := floatingips.Create(ctx, p.network,
			floatingips.CreateOpts{FloatingNetworkID: out, Description: l.describe()}).Extract()
		if err != nil {
			return provider.Resource{}, err
		}
		if ours, err = p.ourAddresses(ctx, w.Stack); err != nil {
			return provider.Resource{}, err
		}
		if ours[w.Name].ID != mine.ID {
			if err := floatingips.Delete(ctx, p.network, mine.ID).ExtractErr(); err != nil && !isNotFound(err) {
				return provider.Resource{}, err
			}
		}
		p.tag(ctx, "floatingips", ours[w.Name].ID, l)
	}
	servers, err := p.serversOfPorts(ctx, w.Stack)
	return addressResource(ours[w.Name], servers), err
}

func (p *Provider) removeAddress(ctx context.Context, r provider.Resource) error {
	a, err := floatingips.Get(ctx, p.network, r.ID).Extract()
	if err != nil {
		return err
	}
	if l, ok := parseDescription(a.Description); !owns(l, ok, r) {
		return taken(r)
	}
	return floatingips.Delete(ctx, p.network, r.ID).ExtractErr()
}

// bindAddress has the wanted floating address, and no other of the stack's, lead to a port; an empty ID is none.
func (p *Provider) bindAddress(ctx context.Context, stack string, port ports.Port, id string) error {
	ours, err := p.ourAddresses(ctx, stack)
	if err != nil {
		return err
	}
	found := id == ""
	for _, a := range ours {
		found = found || a.ID == id
		if a.PortID == port.ID && a.ID != id {
			none := floatingips.UpdateOpts{PortID: new(string)}
			if _, err := floatingips.Update(ctx, p.network, a.ID, none).Extract(); err != nil && !isNotFound(err) {
				return fmt.Errorf("freeing its address %s: %w", a.name, err)
			}
		}
	}
	if !found {
		return fmt.Errorf("address %s of stack %q: %w", id, stack, provider.ErrNotFound)
	}
	for _, a := range ours {
		if a.ID != id || a.PortID == port.ID {
			continue
		}
		_, err := floatingips.Update(ctx, p.network, id, floatingips.UpdateOpts{PortID: &port.ID}).Extract()
		if isNotFound(err) {
			// Neutron's 404 here says that no router leads from the port's network to the address's.
			return fmt.Errorf("address %s cannot lead to network %s: %w: %v", a.name, port.NetworkID,
				provider.ErrInvalid, err)
		}
		if err != nil {
			return fmt.Errorf("binding its address %s: %w", a.name, err)
		}
	}
	return nil
}
