package openstack

import (
	"context"
	"net/netip"
	"slices"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
)

// withinText is the description of the rules that let the stack's own network in.
const withinText = "griddle: within the stack"

// groupRule is a rule of a security group, so that two that mean the same are equal.
type groupRule struct {
	direction string
	v6        bool
	protocol  string
	from, to  int
	prefix    string // empty for everybody
	group     string // a security group instead of a prefix
}

// groupRuleOf reads a rule of neutron's, which writes everybody as no prefix at all or as 0.0.0.0/0, and
// ICMPv6 by three names.
func groupRuleOf(r rules.SecGroupRule) groupRule {
	g := groupRule{r.Direction, r.EtherType == "IPv6", r.Protocol, r.PortRangeMin, r.PortRangeMax,
		r.RemoteIPPrefix, r.RemoteGroupID}
	if prefix, err := netip.ParsePrefix(g.prefix); err == nil && prefix.Bits() == 0 {
		g.prefix = ""
	}
	if g.v6 && (g.protocol == "icmpv6" || g.protocol == "icmp") {
		g.protocol = "ipv6-icmp"
	}
	return g
}

// wantedRules are those of a firewall, what comes from the stack's networks, and that everything may go out.
func wantedRules(all []provider.Rule, within []netip.Prefix) []groupRule {
	want := []groupRule{{direction: "egress"}, {direction: "egress", v6: true}}
	for _, prefix := range within {
		want = append(want, groupRule{direction: "ingress", prefix: prefix.String()})
	}
	for _, r := range all {
		g := groupRule{direction: "ingress", v6: r.Source.Addr().Is6(), protocol: r.Protocol,
			from: int(r.From), to: int(r.To)}
		if r.Source.Bits() > 0 {
			g.prefix = r.Source.String()
		}
		if g.v6 && g.protocol == "icmp" {
			g.protocol = "ipv6-icmp"
		}
		if !slices.Contains(want, g) {
			want = append(want, g)
		}
	}
	return want
}

// converge says which of the wanted rules are missing, and the IDs of those to be deleted.
func converge(has []rules.SecGroupRule, want []groupRule) (missing []groupRule, surplus []string) {
	var seen []groupRule
	for _, r := range has {
		g := groupRuleOf(r)
		if r.RemoteAddressGroupID != "" || !slices.Contains(want, g) || slices.Contains(seen, g) {
			surplus = append(surplus, r.ID)
			continue
		}
		seen = append(seen, g)
	}
	for _, g := range want {
		if !slices.Contains(seen, g) {
			missing = append(missing, g)
		}
	}
	return missing, surplus
}

func firewallResource(g groups.SecGroup, l labels) provider.Resource {
	return provider.Resource{Kind: provider.KindFirewall, Stack: l.stack, Name: l.name, ID: g.ID,
		State: provider.Ready, Want: l.want}
}

func (p *Provider) ourGroups(ctx context.Context, stack string) (map[string]groups.SecGroup, error) {
	pages, err := groups.List(p.network, groups.ListOpts{ProjectID: p.project}).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	all, err := groups.ExtractGroups(pages)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]groups.SecGroup)
	for _, g := range all {
		l, ok := parseDescription(g.Description)
		if !ok || l.stack != stack || l.kind != provider.KindFirewall {
			continue
		}
		if old, there := ours[l.name]; !there || groupAge(g).before(groupAge(old)) {
			ours[l.name] = g
		}
	}
	return ours, nil
}

func groupAge(g groups.SecGroup) made { return made{g.ID, g.CreatedAt} }

func (p *Provider) listFirewalls(ctx context.Context, stack string) ([]provider.Resource, error) {
	ours, err := p.ourGroups(ctx, stack)
	var some []provider.Resource
	for _, g := range ours {
		l, _ := parseDescription(g.Description)
		some = append(some, firewallResource(g, l))
	}
	return some, err
}

// ensureFirewall adds what is missing before it deletes what is too much, so that a port that stays is never shut.
func (p *Provider) ensureFirewall(ctx context.Context, w *provider.Firewall) (provider.Resource, error) {
	l := labelsOf(w)
	ours, err := p.ourGroups(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	g, there := ours[w.Name]
	if !there {
		mine, err := groups.Create(ctx, p.network,
			groups.CreateOpts{Name: l.title(), Description: l.describe()}).Extract()
		if err != nil {
			return provider.Resource{}, err
		}
		if ours, err = p.ourGroups(ctx, w.Stack); err != nil {
			return provider.Resource{}, err
		}
		if g = ours[w.Name]; g.ID != mine.ID {
			if err := groups.Delete(ctx, p.network, mine.ID).ExtractErr(); err != nil && !isNotFound(err) {
				return provider.Resource{}, err
			}
		}
		p.tag(ctx, "security-groups", g.ID, l)
	}
	within, err := p.prefixes(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	missing, surplus := converge(g.Rules, wantedRules(w.Rules, within))
	for _, m := range missing {
		if _, err := rules.Create(ctx, p.network, m.options(g.ID)).Extract(); err != nil && !isThere(err) {
			return provider.Resource{}, err
		}
	}
	for _, id := range surplus {
		if err := rules.Delete(ctx, p.network, id).ExtractErr(); err != nil && !isNotFound(err) {
			return provider.Resource{}, err
		}
	}
	has, _ := parseDescription(g.Description)
	return firewallResource(g, has), nil
}

// options are how a rule is made.
func (g groupRule) options(group string) rules.CreateOpts {
	o := rules.CreateOpts{
		Direction: rules.RuleDirection(g.direction), EtherType: rules.EtherType4, SecGroupID: group,
		Protocol: rules.RuleProtocol(g.protocol), PortRangeMin: g.from, PortRangeMax: g.to, RemoteIPPrefix: g.prefix,
		RemoteGroupID: g.group,
	}
	if g.v6 {
		o.EtherType = rules.EtherType6
	}
	if g.direction == "ingress" && g.protocol == "" {
		o.Description = withinText
	}
	return o
}

func (p *Provider) removeFirewall(ctx context.Context, r provider.Resource) error {
	g, err := groups.Get(ctx, p.network, r.ID).Extract()
	if err != nil {
		return err
	}
	if l, ok := parseDescription(g.Description); !owns(l, ok, r) {
		return taken(r)
	}
	return groups.Delete(ctx, p.network, r.ID).ExtractErr()
}
