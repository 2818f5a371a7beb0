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

type network struct {
	Name    string            `json:"name"`
	Type    string            `json:"type,omitempty"`
	Config  map[string]string `json:"config"`
	Managed bool              `json:"managed"`
	Status  string            `json:"status"`
	UsedBy  []string          `json:"used_by"`

	Description string `json:"description"`
}

// prefix is the network's IPv4 prefix, and an invalid one where it has none.
func (n *network) prefix() netip.Prefix {
	p, err := netip.ParsePrefix(n.Config["ipv4.address"])
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

func (n *network) resource() (provider.Resource, bool) {
	r, ok := identified(n.Config, provider.KindNetwork)
	r.ID = n.Name
	switch n.Status {
	case "Pending":
		r.State = provider.Pending
	case "Errored", "Unknown":
		r.State, r.Reason = provider.Failed, "LXD says that it is "+n.Status
	}
	return r, ok
}

func (p *Provider) networks(ctx context.Context) ([]network, error) {
	var all []network
	_, err := p.client.get(ctx, endpoint("networks"), &all, "recursion", "1")
	return all, err
}

func (p *Provider) ensureNetwork(ctx context.Context, w *provider.Network) (provider.Resource, error) {
	if w.External != "" {
		return provider.Resource{}, fmt.Errorf("the computer with LXD is the only way out, and not %q: %w", w.External,
			provider.ErrUnsupported)
	}
	unlock, err := p.locks.lock(ctx, "networks")
	if err != nil {
		return provider.Resource{}, err
	}
	defer unlock()
	name := bridge(w.Stack, w.Name)
	all, err := p.networks(ctx)
	if err != nil {
		return provider.Resource{}, err
	}
	for _, n := range all {
		if n.Name == name {
			if err := owned(n.Config, provider.KindNetwork, w.Stack, w.Name); err != nil {
				return provider.Resource{}, err
			}
			r, _ := n.resource()
			return r, nil
		}
	}
	// LXD would make two bridges with the same addresses, and packets would go to one of them.
	for _, n := range all {
		if o := n.prefix(); n.Managed && o.IsValid() && o.Overlaps(w.Prefix) {
			return provider.Resource{}, fmt.Errorf("its prefix %v overlaps with %v of LXD's network %s: %w", w.Prefix,
				o, n.Name, provider.ErrInvalid)
		}
	}
	config, err := networkConfig(w)
	if err != nil {
		return provider.Resource{}, err
	}
	// The network's own ACL comes first, and goes last. Without one LXD would let everything in.
	err = p.client.do(ctx, http.MethodPost, endpoint("network-acls"),
		acl{Name: name, Config: labels(w), Description: about(w)}, "")
	if errors.Is(err, provider.ErrTaken) {
		var a acl
		if _, err = p.client.get(ctx, endpoint("network-acls", name), &a); err == nil {
			err = owned(a.Config, provider.KindNetwork, w.Stack, w.Name)
		}
	}
	if err != nil {
		return provider.Resource{}, err
	}
	n := network{Name: name, Type: "bridge", Config: config, Description: about(w)}
	if err := p.client.do(ctx, http.MethodPost, endpoint("networks"), n, ""); err != nil &&
		!errors.Is(err, provider.ErrTaken) {
		return provider.Resource{}, err
	}
	if _, err := p.client.get(ctx, endpoint("networks", name), &n); err != nil {
		return provider.Resource{}, err
	}
	r, ok := n.resource()
	if !ok {
		return r, owned(n.Config, provider.KindNetwork, w.Stack, w.Name)
	}
	return r, nil
}

// about is what a person reads beside a resource's name.
func about(w provider.Want) string {
	kind, stack, name := w.Identity()
	return fmt.Sprintf("%s %s of stack %s (griddle)", kind, name, stack)
}

// networkConfig is LXD's configuration of a bridge. Its name servers are told by DHCP, where any are given; by
// default LXD's own answers, and asks those of its computer.
func networkConfig(w *provider.Network) (map[string]string, error) {
	gateway := netip.PrefixFrom(w.Prefix.Addr().Next(), w.Prefix.Bits())
	config := with(w, map[string]string{
		"ipv4.address": gateway.String(), "ipv4.nat": "true", "ipv4.dhcp": "true", "ipv6.address": "none",
		"security.acls": bridge(w.Stack, w.Name), "security.acls.default.ingress.action": "reject",
		"security.acls.default.egress.action": "allow",
	})
	var servers []string
	for _, a := range w.DNS {
		if !a.Is4() {
			return nil, fmt.Errorf("the name server %v is not IPv4; containers can have no other: %w", a,
				provider.ErrUnsupported)
		}
		servers = append(servers, a.String())
	}
	if len(servers) > 0 {
		config["raw.dnsmasq"] = "dhcp-option=option:dns-server," + strings.Join(servers, ",")
	}
	return config, nil
}

func (p *Provider) removeNetwork(ctx context.Context, r provider.Resource) error {
	var n network
	tag, err := p.client.get(ctx, endpoint("networks", r.ID), &n)
	if err == nil {
		if err := owned(n.Config, provider.KindNetwork, r.Stack, r.Name); err != nil {
			return err
		}
		err = p.client.do(ctx, http.MethodDelete, endpoint("networks", r.ID), nil, tag)
	}
	if err != nil && !errors.Is(err, provider.ErrNotFound) {
		return err
	}
	var a acl
	if tag, err = p.client.get(ctx, endpoint("network-acls", r.ID), &a); err != nil {
		return err
	}
	if err := owned(a.Config, provider.KindNetwork, r.Stack, r.Name); err != nil {
		return err
	}
	return p.client.do(ctx, http.MethodDelete, endpoint("network-acls", r.ID), nil, tag)
}
