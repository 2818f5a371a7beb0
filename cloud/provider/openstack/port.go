package openstack

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
)

// ourPorts lists the ports of a stack's servers by the servers' names.
func (p *Provider) ourPorts(ctx context.Context, stack string) (map[string]ports.Port, error) {
	pages, err := ports.List(p.network, ports.ListOpts{ProjectID: p.project}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := ports.ExtractPorts(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]ports.Port)
	for _, o := range all {
		l, ok := parseDescription(o.Description)
		if !ok || l.stack != stack || l.kind != partPort {
			continue
		}
		if old, there := ours[l.name]; !there || portAge(o).before(portAge(old)) {
			ours[l.name] = o
		}
	}
	return ours, nil
}

func portAge(o ports.Port) made { return made{o.ID, o.CreatedAt} }

// portAddress is the IPv4 address of a port.
func portAddress(o ports.Port) netip.Addr {
	for _, ip := range o.FixedIPs {
		if a, err := netip.ParseAddr(ip.IPAddress); err == nil && a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// ensurePort returns the port of a server that is not there yet. One that is left from an earlier call is used again
// where it fits, and otherwise deleted: no server has it.
func (p *Provider) ensurePort(ctx context.Context, w *provider.Server) (ports.Port, error) {
	subnet, err := p.checkNetwork(ctx, w)
	if err != nil {
		return ports.Port{}, err
	}
	ours, err := p.ourPorts(ctx, w.Stack)
	if err != nil {
		return ports.Port{}, err
	}
	if o, there := ours[w.Name]; there {
		if o.DeviceID != "" {
			return ports.Port{}, fmt.Errorf("its port still belongs to server %s: %w", o.DeviceID,
				provider.ErrTemporary)
		}
		if o.NetworkID == w.Network && (!w.Private.IsValid() || portAddress(o) == w.Private) {
			return p.protect(ctx, o, w.Firewall)
		}
		if err := ports.Delete(ctx, p.network, o.ID).ExtractErr(); err != nil && !isNotFound(err) {
			return ports.Port{}, fmt.Errorf("deleting its old port: %w", err)
		}
	}
	l := labelsOf(w).part(partPort)
	ip := ports.IP{SubnetID: subnet}
	if w.Private.IsValid() {
		ip.IPAddress = w.Private.String()
	}
	options := ports.CreateOpts{NetworkID: w.Network, Name: l.title(), Description: l.describe(),
		FixedIPs: []ports.IP{ip}}
	if w.Firewall != "" {
		options.SecurityGroups = &[]string{w.Firewall}
	}
	mine, err := ports.Create(ctx, p.network, options).Extract()
	if isConflict(err) && w.Private.IsValid() {
		return ports.Port{}, p.whoHas(ctx, w, err)
	}
	if err != nil {
		return ports.Port{}, fmt.Errorf("making its port: %w", err)
	}
	if ours, err = p.ourPorts(ctx, w.Stack); err != nil {
		return ports.Port{}, err
	}
	if ours[w.Name].ID != mine.ID {
		if err := ports.Delete(ctx, p.network, mine.ID).ExtractErr(); err != nil && !isNotFound(err) {
			return ports.Port{}, err
		}
		return ports.Port{}, fmt.Errorf("another program makes it: %w", provider.ErrTemporary)
	}
	p.tag(ctx, "ports", mine.ID, l)
	return *mine, nil
}

// whoHas says whose the wanted address is: another program's that makes the same server, or somebody else's.
func (p *Provider) whoHas(ctx context.Context, w *provider.Server, cause error) error {
	address := ports.FixedIPOpts{IPAddress: w.Private.String()}
	pages, err := ports.List(p.network,
		ports.ListOpts{NetworkID: w.Network, FixedIPs: []ports.FixedIPOpts{address}}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := ports.ExtractPorts(pages)
	if err != nil {
		return err
	}
	for _, o := range all {
		if l, ok := parseDescription(o.Description); !ok || !l.same(labelsOf(w).part(partPort)) {
			return fmt.Errorf("its address %v is held by port %s (%q): %w", w.Private, o.ID, o.Name, provider.ErrTaken)
		}
	}
	return fmt.Errorf("making its port: %w", cause)
}

// checkNetwork returns the ID of the subnet in which a server will be.
func (p *Provider) checkNetwork(ctx context.Context, w *provider.Server) (string, error) {
	if _, err := networks.Get(ctx, p.network, w.Network).Extract(); err != nil {
		return "", fmt.Errorf("its network %s: %w", w.Network, err)
	}
	all, err := p.subnetsOf(ctx, w.Network)
	if err != nil {
		return "", err
	}
	for _, s := range all {
		prefix, err := netip.ParsePrefix(s.CIDR)
		if err != nil || !prefix.Addr().Is4() {
			continue
		}
		return s.ID, provider.CheckPrivate(prefix, w.Private)
	}
	return "", fmt.Errorf("its network %s has no subnet yet: %w", w.Network, provider.ErrTemporary)
}

// protect has a port be in the security group of a server; without one it is left in the default group.
func (p *Provider) protect(ctx context.Context, o ports.Port, group string) (ports.Port, error) {
	if group == "" || slices.Equal(o.SecurityGroups, []string{group}) {
		return o, nil
	}
	changed, err := ports.Update(ctx, p.network, o.ID, ports.UpdateOpts{SecurityGroups: &[]string{group}}).Extract()
	if err != nil {
		return o, fmt.Errorf("its firewall %s: %w", group, err)
	}
	return *changed, nil
}
