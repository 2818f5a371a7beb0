package ec2

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// insideName is the security group by which servers of a network reach each other. It is apart from firewalls, whose
// rules then are as many as EC2 allows.
const insideName = "griddle-inside"

// listNetworks lists VPCs. One is ready when its main route table bears our labels too, which it gets last. What is
// left of a network whose VPC is gone is listed as failed, so that it can be removed.
func (p *Provider) listNetworks(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.vpcs(ctx, f...)
	if err != nil {
		return nil, err
	}
	tables, err := p.routeTables(ctx, f...)
	if err != nil {
		return nil, err
	}
	var all []provider.Resource
	for _, v := range found {
		r := labelled(v.VpcId, v.Tags)
		done := slices.ContainsFunc(tables, func(t types.RouteTable) bool { return aws.ToString(t.VpcId) == r.ID })
		if v.State != types.VpcStateAvailable || !done {
			r.State = provider.Pending
		}
		all = append(all, r)
	}
	gateways, err := p.gateways(ctx, f...)
	if err != nil {
		return nil, err
	}
	for _, g := range gateways {
		all = orphan(all, labelled(g.InternetGatewayId, g.Tags))
	}
	options, err := p.dhcpOptions(ctx, f...)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		all = orphan(all, labelled(o.DhcpOptionsId, o.Tags))
	}
	return all, nil
}

// orphan adds a part to all, where they do not have its network.
func orphan(all []provider.Resource, part provider.Resource) []provider.Resource {
	if slices.ContainsFunc(all, func(r provider.Resource) bool { return r.Name == part.Name }) {
		return all
	}
	part.State, part.Reason = provider.Failed, "its VPC is gone"
	return append(all, part)
}

func vpcID(v *types.Vpc) *string { return v.VpcId }

// ensureNetwork makes what is missing of a network, each part looked for by its tags first.
func (p *Provider) ensureNetwork(ctx context.Context, w *provider.Network) (provider.Resource, error) {
	if w.External != "" {
		return provider.Resource{}, errExternal(w.External)
	}
	if len(w.DNS) > 4 {
		return provider.Resource{}, fmt.Errorf("%d name servers, more than 4: %w", len(w.DNS), provider.ErrInvalid)
	}
	all, err := p.vpcs(ctx, named(w)...)
	if err != nil {
		return provider.Resource{}, err
	}
	vpc := first(all, vpcID)
	if vpc != nil && value(vpc.Tags, provider.LabelWant) != w.Fingerprint() {
		return labelled(vpc.VpcId, vpc.Tags), nil
	}
	n := &network{p: p, w: w, tags: labels(w)}
	for _, step := range []func(context.Context) error{n.makeVPC, n.makeDHCP, n.makeGateway, n.makeRoute, n.makeSubnet,
		n.makeInside, n.finish} {
		if err := step(ctx); err != nil {
			return provider.Resource{}, err
		}
	}
	return labelled(n.vpc.VpcId, n.tags), nil
}

// network is a network while it is made.
type network struct {
	p    *Provider
	w    *provider.Network
	tags []types.Tag

	vpc     *types.Vpc
	gateway string
	table   types.RouteTable
}

func (n *network) makeVPC(ctx context.Context) error {
	find := named(n.w)
	all, err := n.p.vpcs(ctx, find...)
	if err != nil {
		return err
	}
	if n.vpc = first(all, vpcID); n.vpc == nil {
		o, err := n.p.ec2.CreateVpc(ctx, &api.CreateVpcInput{
			CidrBlock: aws.String(n.w.Prefix.String()), TagSpecifications: specs(n.tags, types.ResourceTypeVpc),
		}, once)
		if err != nil {
			return err
		}
		if n.vpc = o.Vpc; n.vpc == nil {
			return errEmpty
		}
		find = []types.Filter{filter("vpc-id", aws.ToString(o.Vpc.VpcId))}
	}
	return n.p.until(ctx, 5*visible, func() (bool, error) {
		all, err := n.p.vpcs(ctx, find...)
		if v := first(all, vpcID); v != nil {
			n.vpc = v
		}
		return len(all) > 0 && n.vpc.State == types.VpcStateAvailable, err
	})
}

// makeDHCP tells servers which name servers there are, where not Amazon's own.
func (n *network) makeDHCP(ctx context.Context) error {
	if len(n.w.DNS) == 0 {
		return nil
	}
	all, err := n.p.dhcpOptions(ctx, named(n.w)...)
	if err != nil {
		return err
	}
	options := first(all, func(o *types.DhcpOptions) *string { return o.DhcpOptionsId })
	if options == nil {
		var servers []string
		for _, a := range n.w.DNS {
			servers = append(servers, a.String())
		}
		o, err := n.p.ec2.CreateDhcpOptions(ctx, &api.CreateDhcpOptionsInput{
			DhcpConfigurations: []types.NewDhcpConfiguration{{Key: aws.String("domain-name-servers"), Values: servers}},
			TagSpecifications:  specs(n.tags, types.ResourceTypeDhcpOptions),
		}, once)
		if err != nil {
			return err
		}
		if options = o.DhcpOptions; options == nil {
			return errEmpty
		}
		if err := shows(ctx, n.p, n.p.dhcpOptions, named(n.w)...); err != nil {
			return err
		}
	}
	if aws.ToString(options.DhcpOptionsId) == aws.ToString(n.vpc.DhcpOptionsId) {
		return nil
	}
	_, err = n.p.ec2.AssociateDhcpOptions(ctx,
		&api.AssociateDhcpOptionsInput{DhcpOptionsId: options.DhcpOptionsId, VpcId: n.vpc.VpcId})
	return err
}

func (n *network) makeGateway(ctx context.Context) error {
	all, err := n.p.gateways(ctx, named(n.w)...)
	if err != nil {
		return err
	}
	gateway := first(all, func(g *types.InternetGateway) *string { return g.InternetGatewayId })
	if gateway == nil {
		o, err := n.p.ec2.CreateInternetGateway(ctx,
			&api.CreateInternetGatewayInput{TagSpecifications: specs(n.tags, types.ResourceTypeInternetGateway)}, once)
		if err != nil {
			return err
		}
		if gateway = o.InternetGateway; gateway == nil {
			return errEmpty
		}
		if err := shows(ctx, n.p, n.p.gateways, named(n.w)...); err != nil {
			return err
		}
	}
	n.gateway = aws.ToString(gateway.InternetGatewayId)
	if slices.ContainsFunc(gateway.Attachments, func(a types.InternetGatewayAttachment) bool {
		return aws.ToString(a.VpcId) == aws.ToString(n.vpc.VpcId)
	}) {
		return nil
	}
	_, err = n.p.ec2.AttachInternetGateway(ctx,
		&api.AttachInternetGatewayInput{InternetGatewayId: gateway.InternetGatewayId, VpcId: n.vpc.VpcId})
	if code(err) == "Resource.AlreadyAssociated" {
		// An attempt before this one did it, or another process did; if with another VPC, the route will be refused.
		return nil
	}
	return err
}

// makeRoute has the main route table, which the VPC has from its start, lead out by the gateway.
func (n *network) makeRoute(ctx context.Context) error {
	err := n.p.until(ctx, visible, func() (bool, error) {
		all, err := n.p.routeTables(ctx, filter("vpc-id", aws.ToString(n.vpc.VpcId)),
			filter("association.main", "true"))
		if len(all) > 0 {
			n.table = all[0]
		}
		return len(all) > 0, err
	})
	if err != nil {
		return err
	}
	const everywhere = "0.0.0.0/0"
	for _, r := range n.table.Routes {
		if aws.ToString(r.DestinationCidrBlock) != everywhere {
			continue
		}
		if aws.ToString(r.GatewayId) == n.gateway && r.State != types.RouteStateBlackhole {
			return nil
		}
		_, err := n.p.ec2.ReplaceRoute(ctx, &api.ReplaceRouteInput{
			RouteTableId: n.table.RouteTableId, DestinationCidrBlock: aws.String(everywhere),
			GatewayId: aws.String(n.gateway),
		})
		return err
	}
	_, err = n.p.ec2.CreateRoute(ctx, &api.CreateRouteInput{
		RouteTableId: n.table.RouteTableId, DestinationCidrBlock: aws.String(everywhere),
		GatewayId: aws.String(n.gateway),
	})
	if code(err) == "RouteAlreadyExists" {
		return nil
	}
	return err
}

func (n *network) makeSubnet(ctx context.Context) error {
	ours := filter("vpc-id", aws.ToString(n.vpc.VpcId))
	all, err := n.p.subnets(ctx, append(named(n.w), ours)...)
	if err != nil || len(all) > 0 {
		return err
	}
	zone, err := n.p.zone(ctx, n.w.Stack)
	if err != nil {
		return err
	}
	_, err = n.p.ec2.CreateSubnet(ctx, &api.CreateSubnetInput{
		VpcId: n.vpc.VpcId, CidrBlock: aws.String(n.w.Prefix.String()), AvailabilityZone: aws.String(zone),
		TagSpecifications: specs(n.tags, types.ResourceTypeSubnet),
	})
	if err != nil && code(err) != "InvalidSubnet.Conflict" {
		return err
	}
	// In a conflict an attempt before this one made it: the VPC is ours, and there is room for one.
	return shows(ctx, n.p, n.p.subnets, append(named(n.w), ours)...)
}

// makeInside makes the group that lets packets of the network in.
func (n *network) makeInside(ctx context.Context) error {
	id, err := n.p.ensureGroup(ctx, aws.ToString(n.vpc.VpcId), insideName, "Packets within the network", n.w)
	if err != nil {
		return err
	}
	return n.p.setRules(ctx, id, []rule{{protocol: "-1", from: -1, to: -1, source: n.w.Prefix}})
}

// finish labels the main route table: the network is whole.
func (n *network) finish(ctx context.Context) error {
	if value(n.table.Tags, provider.LabelWant) == n.w.Fingerprint() {
		return nil
	}
	_, err := n.p.ec2.CreateTags(ctx,
		&api.CreateTagsInput{Resources: []string{aws.ToString(n.table.RouteTableId)}, Tags: n.tags})
	return err
}
