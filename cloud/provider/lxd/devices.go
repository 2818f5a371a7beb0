package lxd

import (
	"context"
	"fmt"
	"net/netip"

	"griddle/cloud/provider"
)

// reserve finds an address in a network for a new instance, or sees that the wanted one is free, and keeps it until
// release: LXD does so from the time when the instance is there. LXD itself would take two instances with one address.
func (p *Provider) reserve(ctx context.Context, n network, name string,
	wanted netip.Addr) (a netip.Addr, release func(), err error) {
	first := n.prefix().Addr().Next().Next()
	if wanted.IsValid() {
		first = wanted
	}
	all, err := p.instances(ctx)
	if err != nil {
		return a, nil, err
	}
	taken := make(map[string]bool)
	for _, i := range all {
		if i.network() == n.Name {
			taken[i.Devices[card]["ipv4.address"]] = true
		}
	}
	for a = first; provider.CheckPrivate(n.prefix(), a) == nil; a = a.Next() {
		if !wanted.IsValid() && taken[a.String()] {
			continue
		}
		by := "an instance that is being made"
		if release = p.locks.try("private/" + n.Name + "/" + a.String()); release != nil {
			// Only now nobody else can come to make one.
			if by, err = p.holds(ctx, n.Name, a); err == nil && (by == "" || by == name) {
				return a, release, nil
			}
			release()
		}
		if err == nil && wanted.IsValid() {
			err = fmt.Errorf("%v belongs to %s: %w", wanted, by, provider.ErrTaken)
		}
		if err != nil {
			return a, nil, err
		}
	}
	return a, nil, fmt.Errorf("all addresses of %v are taken: %w", n.prefix(), provider.ErrQuota)
}

// holds is the name of the instance with an address of a network, and empty for none.
func (p *Provider) holds(ctx context.Context, network string, a netip.Addr) (string, error) {
	all, err := p.instances(ctx)
	for _, i := range all {
		if i.network() == network && i.Devices[card]["ipv4.address"] == a.String() {
			return i.Name, nil
		}
	}
	return "", err
}

// disks are the devices of volumes, by the volumes' names. Two that want the same path are told apart by their names.
func disks(volumes []volume) map[string]map[string]string {
	devices, taken := make(map[string]map[string]string), make(map[string]bool)
	for _, v := range volumes {
		at := v.Config[keyMount]
		if taken[at] {
			at += "-" + v.Config[user+provider.LabelName]
		}
		taken[at] = true
		devices[v.Name] = map[string]string{"type": "disk", "pool": v.pool, "source": v.Name, "path": at}
	}
	return devices
}
