package ec2

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// rule is a rule as EC2 has it: ports are -1 where there are none, and ICMP of IPv6 is another protocol.
type rule struct {
	protocol string
	from, to int32
	source   netip.Prefix
}

func toRule(r provider.Rule) rule {
	switch {
	case r.Protocol == "icmp" && r.Source.Addr().Is6():
		return rule{"icmpv6", -1, -1, r.Source}
	case r.Protocol == "icmp":
		return rule{"icmp", -1, -1, r.Source}
	}
	return rule{r.Protocol, int32(r.From), int32(r.To), r.Source}
}

// permission is the rule in a request.
func (r rule) permission() types.IpPermission {
	p := types.IpPermission{IpProtocol: aws.String(r.protocol), FromPort: aws.Int32(r.from), ToPort: aws.Int32(r.to)}
	if r.source.Addr().Is4() {
		p.IpRanges = []types.IpRange{{CidrIp: aws.String(r.source.String())}}
	} else {
		p.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: aws.String(r.source.String())}}
	}
	return p
}

// fromEC2 is a rule in an answer; false where it is none that we could have made, such as one that names a group.
func fromEC2(g *types.SecurityGroupRule) (rule, bool) {
	source, err := netip.ParsePrefix(aws.ToString(g.CidrIpv4) + aws.ToString(g.CidrIpv6))
	return rule{aws.ToString(g.IpProtocol), aws.ToInt32(g.FromPort), aws.ToInt32(g.ToPort), source}, err == nil
}

func (p *Provider) listFirewalls(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.groups(ctx, f...)
	var all []provider.Resource
	for _, g := range found {
		all = append(all, labelled(g.GroupId, g.Tags))
	}
	return all, err
}

func (p *Provider) ensureFirewall(ctx context.Context, w *provider.Firewall) (provider.Resource, error) {
	vpcs, err := p.vpcs(ctx, ofStack(provider.KindNetwork, w.Stack)...)
	if err != nil {
		return provider.Resource{}, err
	}
	vpc := first(vpcs, vpcID)
	if vpc == nil {
		return provider.Resource{}, fmt.Errorf("stack %q has no network, and EC2's firewalls are in one: %w", w.Stack,
			provider.ErrInvalid)
	}
	id, err := p.ensureGroup(ctx, aws.ToString(vpc.VpcId), plainName(w.Stack, w.Name), "Made by griddle", w)
	if err != nil {
		return provider.Resource{}, err
	}
	var rules []rule
	for _, r := range w.Rules {
		rules = append(rules, toRule(r))
	}
	if err := p.setRules(ctx, id, rules); err != nil {
		return provider.Resource{}, err
	}
	return labelled(&id, labels(w)), nil
}

// ensureGroup gives the ID of a security group that bears w's labels.
func (p *Provider) ensureGroup(ctx context.Context, vpc, name, description string, w provider.Want) (string, error) {
	in := filter("vpc-id", vpc)
	all, err := p.groups(ctx, append(named(w), in)...)
	if g := first(all, func(g *types.SecurityGroup) *string { return g.GroupId }); err != nil || g != nil {
		if err != nil {
			return "", err
		}
		return aws.ToString(g.GroupId), nil
	}
	o, err := p.ec2.CreateSecurityGroup(ctx, &api.CreateSecurityGroupInput{
		VpcId: aws.String(vpc), GroupName: aws.String(name), Description: aws.String(description),
		TagSpecifications: specs(labels(w), types.ResourceTypeSecurityGroup),
	})
	if code(err) != "InvalidGroup.Duplicate" {
		if err != nil {
			return "", err
		}
		return aws.ToString(o.GroupId), shows(ctx, p, p.groups, append(named(w), in)...)
	}
	all, err = p.groups(ctx, in, filter("group-name", name))
	if err != nil {
		return "", err
	}
	kind, stack, short := w.Identity()
	if len(all) == 0 {
		return "", errLate
	}
	if !bear(all[0].Tags, provider.Resource{Kind: kind, Stack: stack, Name: short}) {
		return "", fmt.Errorf("security group %q does not have our labels: %w", name, provider.ErrTaken)
	}
	return aws.ToString(all[0].GroupId), nil
}

// setRules brings a group's rules to these. New ones come first: a connection that old and new rules
// let in is never refused.
func (p *Provider) setRules(ctx context.Context, group string, want []rule) error {
	found, err := p.groupRules(ctx, filter("group-id", group))
	if err != nil {
		return err
	}
	var surplus []string
	missing := make(map[rule]bool)
	for _, r := range want {
		missing[r] = true
	}
	for i := range found {
		if aws.ToBool(found[i].IsEgress) {
			continue
		}
		r, ok := fromEC2(&found[i])
		if ok && slices.Contains(want, r) {
			delete(missing, r)
			continue
		}
		surplus = append(surplus, aws.ToString(found[i].SecurityGroupRuleId))
	}
	var add []types.IpPermission
	for _, r := range want {
		if missing[r] {
			add = append(add, r.permission())
			delete(missing, r)
		}
	}
	allow := func() error {
		if len(add) == 0 {
			return nil
		}
		_, err := p.ec2.AuthorizeSecurityGroupIngress(ctx,
			&api.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(group), IpPermissions: add})
		return err
	}
	switch err := allow(); code(err) {
	case "InvalidPermission.Duplicate":
		return fmt.Errorf("another program changes the rules of %s: %w", group, provider.ErrTemporary)
	case "RulesPerSecurityGroupLimitExceeded":
		if len(surplus) == 0 {
			return err
		}
		if err := p.revoke(ctx, group, surplus); err != nil {
			return err
		}
		return allow()
	default:
		if err != nil {
			return err
		}
	}
	return p.revoke(ctx, group, surplus)
}

func (p *Provider) revoke(ctx context.Context, group string, rules []string) error {
	if len(rules) == 0 {
		return nil
	}
	_, err := p.ec2.RevokeSecurityGroupIngress(ctx,
		&api.RevokeSecurityGroupIngressInput{GroupId: aws.String(group), SecurityGroupRuleIds: rules})
	if isGone(err) {
		return nil
	}
	return err
}

func (p *Provider) removeFirewall(ctx context.Context, r provider.Resource) error {
	all, err := p.groups(ctx, filter("group-id", r.ID))
	if err != nil || len(all) == 0 {
		return err
	}
	if !bear(all[0].Tags, r) {
		return notOurs(r)
	}
	_, err = p.ec2.DeleteSecurityGroup(ctx, &api.DeleteSecurityGroupInput{GroupId: aws.String(r.ID)})
	if isGone(err) {
		return nil
	}
	return err
}
