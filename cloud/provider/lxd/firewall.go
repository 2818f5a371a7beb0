package lxd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/provider"
)

type acl struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Config      map[string]string `json:"config"`
	Ingress     []aclRule         `json:"ingress"`
	Egress      []aclRule         `json:"egress"`
	UsedBy      []string          `json:"used_by,omitempty"`
}

type aclRule struct {
	Action      string `json:"action"`
	State       string `json:"state"`
	Protocol    string `json:"protocol,omitempty"`
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`
	Port        string `json:"destination_port,omitempty"`
}

func (a *acl) resource() (provider.Resource, bool) {
	r, ok := identified(a.Config, provider.KindFirewall)
	r.ID = a.Name
	return r, ok
}

func (p *Provider) acls(ctx context.Context) ([]acl, error) {
	var all []acl
	_, err := p.client.get(ctx, endpoint("network-acls"), &all, "recursion", "1")
	return all, err
}

func (p *Provider) ensureFirewall(ctx context.Context, w *provider.Firewall) (provider.Resource, error) {
	text, err := json.Marshal(w.Rules)
	if err != nil {
		return provider.Resource{}, err
	}
	name := joined(w.Stack, w.Name)
	a := acl{Name: name, Description: about(w), Config: with(w, map[string]string{keyRules: string(text)})}
	err = p.client.do(ctx, http.MethodPost, endpoint("network-acls"), a, "")
	if err != nil && !errors.Is(err, provider.ErrTaken) {
		return provider.Resource{}, err
	}
	err = change(ctx, p.client, endpoint("network-acls", name), func(a *acl) (bool, error) {
		if err := owned(a.Config, provider.KindFirewall, w.Stack, w.Name); err != nil {
			return false, err
		}
		old := a.Config[keyRules]
		a.Config[keyRules] = string(text)
		return old != string(text), nil
	})
	if err == nil {
		err = p.letIn(ctx, w.Stack)
	}
	if err == nil {
		_, err = p.client.get(ctx, endpoint("network-acls", name), &a)
	}
	if err != nil {
		return provider.Resource{}, err
	}
	r, _ := a.resource()
	return r, nil
}

// letIn brings the rules of all firewalls of a stack to what its servers are now. The instances are read after the ACL,
// so that whoever makes or removes an instance, and calls this then, is seen by this call or sees its write.
func (p *Provider) letIn(ctx context.Context, stack string) error {
	all, err := p.acls(ctx)
	if err != nil {
		return err
	}
	for _, a := range all {
		if r, ok := a.resource(); !ok || r.Stack != stack {
			continue
		}
		err := change(ctx, p.client, endpoint("network-acls", a.Name), func(a *acl) (bool, error) {
			servers, err := p.behind(ctx, stack, a.Name)
			if err != nil {
				return false, err
			}
			want, err := ingress(a.Config[keyRules], servers)
			if err != nil || slices.Equal(a.Ingress, want) {
				return false, err
			}
			a.Ingress = want
			return true, nil
		})
		// One that is gone lets nothing in.
		if err != nil && !errors.Is(err, provider.ErrNotFound) {
			return fmt.Errorf("letting in what firewall %s says: %w", a.Name, err)
		}
	}
	return nil
}

// behind lists the addresses of a firewall's servers, in order.
func (p *Provider) behind(ctx context.Context, stack, firewall string) ([]netip.Addr, error) {
	all, err := p.instances(ctx)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, i := range all {
		if r, ok := i.resource(); ok && r.Stack == stack && i.Config[keyFirewall] == firewall && r.Private.IsValid() {
			found = append(found, r.Private)
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

// ingress is the rules of a firewall for its servers, in LXD's form; none where there are no servers, since a rule
// without a destination would hold for the whole bridge.
func ingress(text string, servers []netip.Addr) ([]aclRule, error) {
	var rules []provider.Rule
	if err := json.Unmarshal([]byte(text), &rules); err != nil {
		return nil, fmt.Errorf("reading %s of an ACL: %w", keyRules, err)
	}
	all := []aclRule{}
	if len(servers) == 0 {
		return all, nil
	}
	var to []string
	for _, a := range servers {
		to = append(to, a.String())
	}
	for _, r := range rules {
		// Servers have IPv4 alone, and LXD refuses a rule with both kinds of addresses.
		if !r.Source.Addr().Is4() {
			continue
		}
		l := aclRule{Action: "allow", State: "enabled", Protocol: r.Protocol, Destination: strings.Join(to, ",")}
		if r.Source.Bits() > 0 {
			l.Source = r.Source.String()
		}
		switch {
		case r.Protocol == "icmp":
			l.Protocol = "icmp4"
		case r.From == r.To:
			l.Port = strconv.Itoa(int(r.From))
		default:
			l.Port = fmt.Sprintf("%d-%d", r.From, r.To)
		}
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	return all, nil
}

// attach has a network's border ask an ACL.
func (p *Provider) attach(ctx context.Context, bridge, name string) error {
	return change(ctx, p.client, endpoint("networks", bridge), func(n *network) (bool, error) {
		has := acls(n)
		if slices.Contains(has, name) {
			return false, nil
		}
		n.Config["security.acls"] = strings.Join(append(has, name), ",")
		return true, nil
	})
}

// acls are the names of a network's ACLs.
func acls(n *network) []string {
	return strings.FieldsFunc(n.Config["security.acls"], func(r rune) bool { return r == ',' || r == ' ' })
}

func (p *Provider) removeFirewall(ctx context.Context, r provider.Resource) error {
	var a acl
	if _, err := p.client.get(ctx, endpoint("network-acls", r.ID), &a); err != nil {
		return err
	}
	if err := owned(a.Config, provider.KindFirewall, r.Stack, r.Name); err != nil {
		return err
	}
	servers, err := p.behind(ctx, r.Stack, r.ID)
	if err != nil {
		return err
	}
	if len(servers) > 0 {
		return fmt.Errorf("%d servers use it: %w", len(servers), provider.ErrTemporary)
	}
	all, err := p.networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range all {
		if !slices.Contains(acls(&n), r.ID) {
			continue
		}
		err := change(ctx, p.client, endpoint("networks", n.Name), func(n *network) (bool, error) {
			n.Config["security.acls"] = strings.Join(slices.DeleteFunc(acls(n), func(s string) bool {
				return s == r.ID
			}), ",")
			return true, nil
		})
		if err != nil && !errors.Is(err, provider.ErrNotFound) {
			return err
		}
	}
	return p.client.do(ctx, http.MethodDelete, endpoint("network-acls", r.ID), nil, "")
}
