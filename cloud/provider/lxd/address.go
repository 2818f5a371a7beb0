package lxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"griddle/cloud/provider"
)

// forward is a public address: all that comes for Listen goes to the target, which is empty while it is free.
type forward struct {
	Listen      string            `json:"listen_address"`
	Description string            `json:"description"`
	Config      map[string]string `json:"config"`
	Ports       []any             `json:"ports"`

	network string
}

const keyTarget = "target_address"

func (f *forward) resource() (provider.Resource, bool) {
	r, ok := identified(f.Config, provider.KindAddress)
	r.ID = f.network + "/" + f.Listen
	a, err := netip.ParseAddr(f.Listen)
	r.Public = a
	return r, ok && err == nil
}

// forwards lists those of a network.
func (p *Provider) forwards(ctx context.Context, network string) ([]forward, error) {
	var all []forward
	_, err := p.client.get(ctx, endpoint("networks", network, "forwards"), &all, "recursion", "1")
	for i := range all {
		all[i].network = network
	}
	return all, err
}

// forward reads one by its ID.
func (p *Provider) forward(ctx context.Context, id string) (forward, error) {
	network, listen, _ := strings.Cut(id, "/")
	if network == "" || listen == "" {
		return forward{}, fmt.Errorf("address %q: %w", id, provider.ErrNotFound)
	}
	f := forward{network: network}
	_, err := p.client.get(ctx, endpoint("networks", network, "forwards", listen), &f)
	return f, err
}

// ensureAddress takes the first free one. Two processes cannot get the same: LXD refuses the second.
func (p *Provider) ensureAddress(ctx context.Context, w *provider.Address) (provider.Resource, error) {
	if w.External != "" {
		return provider.Resource{}, fmt.Errorf("addresses are those of the configuration, and not of %q: %w",
			w.External, provider.ErrUnsupported)
	}
	unlock, err := p.locks.lock(ctx, "addresses")
	if err != nil {
		return provider.Resource{}, err
	}
	defer unlock()
	networks, err := p.networks(ctx)
	if err != nil {
		return provider.Resource{}, err
	}
	home, used := "", make(map[netip.Addr]bool)
	for _, n := range networks {
		if !n.Managed || n.Type != "bridge" {
			continue
		}
		r, ok := n.resource()
		mine := ok && r.Stack == w.Stack
		if mine && home == "" {
			home = n.Name
		}
		all, err := p.forwards(ctx, n.Name)
		if err != nil {
			return provider.Resource{}, err
		}
		for _, f := range all {
			if r, ok := f.resource(); ok && r.Stack == w.Stack && r.Name == w.Name {
				return r, nil
			}
			if a, err := netip.ParseAddr(f.Listen); err == nil {
				used[a] = true
			}
		}
	}
	if home == "" {
		return provider.Resource{}, fmt.Errorf("stack %q has no network, which forwards belong to: %w", w.Stack,
			provider.ErrNotFound)
	}
	for _, pool := range p.config.Addresses {
		for a := pool.Addr(); pool.Contains(a); a = a.Next() {
			if used[a] {
				continue
			}
			f := forward{Listen: a.String(), Description: about(w), Config: labels(w), Ports: []any{}, network: home}
			err := p.client.do(ctx, http.MethodPost, endpoint("networks", home, "forwards"), f, "")
			if errors.Is(err, provider.ErrTaken) {
				continue
			}
			r, _ := f.resource()
			return r, err
		}
	}
	return provider.Resource{}, fmt.Errorf("none of the addresses in the configuration is free: %w", provider.ErrQuota)
}

// reach has the address id, or none where that is empty, lead to a private address, and no other address of the stack.
func (p *Provider) reach(ctx context.Context, stack, network string, private netip.Addr, id string) error {
	all, err := p.forwards(ctx, network)
	if err != nil {
		return err
	}
	for _, f := range all {
		r, ok := f.resource()
		if !ok || r.Stack != stack {
			continue
		}
		target := f.Config[keyTarget]
		switch {
		case r.ID == id && target != private.String():
			err = p.retarget(ctx, f, target, private.String())
		case r.ID != id && target == private.String():
			err = p.retarget(ctx, f, target, "")
		}
		if err != nil {
			return fmt.Errorf("leading %s to its server: %w", f.Listen, err)
		}
	}
	return nil
}

// retarget changes where an address leads, unless somebody else did since.
func (p *Provider) retarget(ctx context.Context, f forward, from, to string) error {
	return change(ctx, p.client, endpoint("networks", f.network, "forwards", f.Listen), func(f *forward) (bool, error) {
		if f.Config[keyTarget] != from {
			return false, changed{}
		}
		if f.Config[keyTarget] = to; to == "" {
			delete(f.Config, keyTarget)
		}
		return true, nil
	})
}

func (p *Provider) removeAddress(ctx context.Context, r provider.Resource) error {
	f, err := p.forward(ctx, r.ID)
	if err != nil {
		return err
	}
	if err := owned(f.Config, provider.KindAddress, r.Stack, r.Name); err != nil {
		return err
	}
	all, err := p.instances(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if s, ok := i.resource(); ok && i.network() == f.network && s.Private.IsValid() &&
			s.Private.String() == f.Config[keyTarget] {
			return fmt.Errorf("server %q of stack %q is reached by it: %w", s.Name, s.Stack, provider.ErrTemporary)
		}
	}
	return p.client.do(ctx, http.MethodDelete, endpoint("networks", f.network, "forwards", f.Listen), nil, "")
}
