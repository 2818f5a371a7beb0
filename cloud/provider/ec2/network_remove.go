package ec2

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// removeNetwork takes the VPC away with all its parts. What uses it is looked for first: a network in use stays whole.
// r may be a part that was left over.
func (p *Provider) removeNetwork(ctx context.Context, r provider.Resource) error {
	vpcs, err := p.vpcs(ctx, filter("vpc-id", r.ID))
	if err != nil {
		return err
	}
	if len(vpcs) > 0 && !bear(vpcs[0].Tags, r) {
		return notOurs(r)
	}
	find := append(ofStack(provider.KindNetwork, r.Stack), filter("tag:"+provider.LabelName, r.Name))
	if len(vpcs) > 0 {
		if err := p.inUse(ctx, r); err != nil {
			return err
		}
	}
	all, err := p.vpcs(ctx, find...)
	if err != nil {
		return err
	}
	if len(all) > len(vpcs) {
		// Another VPC bears the name: the gateway and options may be that one's.
		if len(vpcs) == 0 {
			return nil
		}
		return p.removeVPC(ctx, r)
	}
	gateways, err := p.gateways(ctx, find...)
	if err != nil {
		return err
	}
	for _, g := range gateways {
		if err := p.removeGateway(ctx, &g); err != nil {
			return err
		}
	}
	options, err := p.dhcpOptions(ctx, find...)
	if err != nil {
		return err
	}
	for i, o := range options {
		if len(vpcs) > 0 && i == 0 {
			_, err := p.ec2.AssociateDhcpOptions(ctx,
				&api.AssociateDhcpOptionsInput{DhcpOptionsId: aws.String("default"), VpcId: vpcs[0].VpcId})
			if err != nil {
				return err
			}
		}
		if _, err := p.ec2.DeleteDhcpOptions(ctx,
			&api.DeleteDhcpOptionsInput{DhcpOptionsId: o.DhcpOptionsId}); err != nil && !isGone(err) {
			return err
		}
	}
	if len(vpcs) == 0 {
		return nil
	}
	return p.removeVPC(ctx, r)
}

// inUse is an error where something that is no part of the network is in it.
func (p *Provider) inUse(ctx context.Context, r provider.Resource) error {
	in := filter("vpc-id", r.ID)
	ends, err := p.interfaces(ctx, in)
	if err != nil {
		return err
	}
	if len(ends) > 0 {
		user := "an interface"
		if a := ends[0].Attachment; a != nil && a.InstanceId != nil {
			user = *a.InstanceId
		}
		return fmt.Errorf("%s uses it: %w", user, provider.ErrTemporary)
	}
	groups, err := p.groups(ctx, in)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if name := aws.ToString(g.GroupName); name != "default" &&
			value(g.Tags, provider.LabelKind) != string(provider.KindNetwork) {
			return fmt.Errorf("security group %q uses it: %w", name, provider.ErrTemporary)
		}
	}
	return nil
}

func (p *Provider) removeGateway(ctx context.Context, g *types.InternetGateway) error {
	for _, a := range g.Attachments {
		_, err := p.ec2.DetachInternetGateway(ctx,
			&api.DetachInternetGatewayInput{InternetGatewayId: g.InternetGatewayId, VpcId: a.VpcId})
		if err != nil && code(err) != "Gateway.NotAttached" && !isGone(err) {
			return err
		}
	}
	_, err := p.ec2.DeleteInternetGateway(ctx, &api.DeleteInternetGatewayInput{InternetGatewayId: g.InternetGatewayId})
	if isGone(err) {
		return nil
	}
	return err
}

func (p *Provider) removeVPC(ctx context.Context, r provider.Resource) error {
	in := filter("vpc-id", r.ID)
	subnets, err := p.subnets(ctx, in)
	if err != nil {
		return err
	}
	for _, s := range subnets {
		if value(s.Tags, provider.LabelKind) != string(provider.KindNetwork) {
			return fmt.Errorf("subnet %s is not ours: %w", aws.ToString(s.SubnetId), provider.ErrTemporary)
		}
		if _, err := p.ec2.DeleteSubnet(ctx, &api.DeleteSubnetInput{SubnetId: s.SubnetId}); err != nil && !isGone(err) {
			return err
		}
	}
	groups, err := p.groups(ctx, append(ofStack(provider.KindNetwork, r.Stack), in)...)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if _, err := p.ec2.DeleteSecurityGroup(ctx, &api.DeleteSecurityGroupInput{GroupId: g.GroupId}); err != nil &&
			!isGone(err) {
			return err
		}
	}
	_, err = p.ec2.DeleteVpc(ctx, &api.DeleteVpcInput{VpcId: aws.String(r.ID)})
	if isGone(err) {
		return nil
	}
	return err
}
