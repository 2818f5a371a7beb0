package lxd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"griddle/cloud/provider"
)

// List implements provider.Provider.
func (p *Provider) List(ctx context.Context, stack string) ([]provider.Resource, error) {
	list := p.images
	if stack != "" {
		list = func(ctx context.Context) ([]provider.Resource, error) { return p.list(ctx, stack) }
	}
	all, err := list(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what LXD has of stack %q: %w", stack, err)
	}
	kinds := provider.Kinds()
	slices.SortFunc(all, func(a, b provider.Resource) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

func (p *Provider) list(ctx context.Context, stack string) ([]provider.Resource, error) {
	var found []provider.Resource
	mine := func(r provider.Resource, ok bool) bool {
		ok = ok && r.Stack == stack
		if ok {
			found = append(found, r)
		}
		return ok
	}
	networks, err := p.networks(ctx)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool)
	var forwards []forward
	for _, n := range networks {
		if !mine(n.resource()) {
			continue
		}
		there[n.Name] = true
		all, err := p.forwards(ctx, n.Name)
		if err != nil && !errors.Is(err, provider.ErrNotFound) {
			return nil, err
		}
		forwards = append(forwards, all...)
	}
	acls, err := p.acls(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range acls {
		mine(a.resource())
		// A network's own ACL that is without it: making or removing the network was broken off.
		if r, ok := identified(a.Config, provider.KindNetwork); ok && !there[a.Name] {
			r.ID, r.State = a.Name, provider.Removing
			mine(r, true)
		}
	}
	volumes, err := p.volumes(ctx)
	if err != nil {
		return nil, err
	}
	instances, err := p.instances(ctx)
	if err != nil {
		return nil, err
	}
	busy, err := p.client.busy(ctx)
	if err != nil {
		return nil, err
	}
	byName, byTarget := make(map[string]string), make(map[string]string)
	for _, i := range instances {
		byName[i.Name] = i.id()
		if r, ok := i.resource(); ok && r.Stack == stack {
			byTarget[i.network()+"/"+i.Devices[card]["ipv4.address"]] = r.ID
			mine(see(r, i.Name, busy, slices.DeleteFunc(slices.Clone(forwards), func(f forward) bool {
				return f.network != i.network()
			})), true)
		}
	}
	for _, f := range forwards {
		r, ok := f.resource()
		r.Bound = byTarget[f.network+"/"+f.Config[keyTarget]]
		mine(r, ok)
	}
	for _, v := range volumes {
		r, ok := v.resource()
		r.Bound = byName[v.holder()]
		mine(r, ok)
	}
	return found, nil
}
