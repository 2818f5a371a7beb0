package ec2

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// pages reads all pages of an answer. What is asked for is always filtered: an ID that is gone is then an answer with
// nothing in it, and no error.
func pages[O, T any](ctx context.Context, more func() bool,
	next func(context.Context, ...func(*api.Options)) (*O, error), items func(*O) []T) ([]T, error) {
	const most = 2000
	var all []T
	for n := 0; more(); n++ {
		if n == most {
			return nil, errors.New("EC2's answer does not end")
		}
		o, err := next(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, items(o)...)
	}
	return all, nil
}

func (p *Provider) images(ctx context.Context, f ...types.Filter) ([]types.Image, error) {
	g := api.NewDescribeImagesPaginator(p.ec2,
		&api.DescribeImagesInput{Filters: f, Owners: []string{"self"}, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeImagesOutput) []types.Image { return o.Images })
}

func (p *Provider) snapshots(ctx context.Context, f ...types.Filter) ([]types.Snapshot, error) {
	g := api.NewDescribeSnapshotsPaginator(p.ec2,
		&api.DescribeSnapshotsInput{Filters: f, OwnerIds: []string{"self"}, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeSnapshotsOutput) []types.Snapshot {
		return o.Snapshots
	})
}

// keys has one page always.
func (p *Provider) keys(ctx context.Context, f ...types.Filter) ([]types.KeyPairInfo, error) {
	o, err := p.ec2.DescribeKeyPairs(ctx, &api.DescribeKeyPairsInput{Filters: f})
	if err != nil {
		return nil, err
	}
	return o.KeyPairs, nil
}

func (p *Provider) vpcs(ctx context.Context, f ...types.Filter) ([]types.Vpc, error) {
	g := api.NewDescribeVpcsPaginator(p.ec2, &api.DescribeVpcsInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeVpcsOutput) []types.Vpc { return o.Vpcs })
}

func (p *Provider) subnets(ctx context.Context, f ...types.Filter) ([]types.Subnet, error) {
	g := api.NewDescribeSubnetsPaginator(p.ec2, &api.DescribeSubnetsInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeSubnetsOutput) []types.Subnet {
		return o.Subnets
	})
}

func (p *Provider) gateways(ctx context.Context, f ...types.Filter) ([]types.InternetGateway, error) {
	g := api.NewDescribeInternetGatewaysPaginator(p.ec2,
		&api.DescribeInternetGatewaysInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeInternetGatewaysOutput) []types.InternetGateway {
		return o.InternetGateways
	})
}

func (p *Provider) routeTables(ctx context.Context, f ...types.Filter) ([]types.RouteTable, error) {
	g := api.NewDescribeRouteTablesPaginator(p.ec2,
		&api.DescribeRouteTablesInput{Filters: f, MaxResults: aws.Int32(100)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeRouteTablesOutput) []types.RouteTable {
		return o.RouteTables
	})
}

func (p *Provider) dhcpOptions(ctx context.Context, f ...types.Filter) ([]types.DhcpOptions, error) {
	g := api.NewDescribeDhcpOptionsPaginator(p.ec2,
		&api.DescribeDhcpOptionsInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeDhcpOptionsOutput) []types.DhcpOptions {
		return o.DhcpOptions
	})
}

func (p *Provider) groups(ctx context.Context, f ...types.Filter) ([]types.SecurityGroup, error) {
	g := api.NewDescribeSecurityGroupsPaginator(p.ec2,
		&api.DescribeSecurityGroupsInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeSecurityGroupsOutput) []types.SecurityGroup {
		return o.SecurityGroups
	})
}

func (p *Provider) groupRules(ctx context.Context, f ...types.Filter) ([]types.SecurityGroupRule, error) {
	g := api.NewDescribeSecurityGroupRulesPaginator(p.ec2,
		&api.DescribeSecurityGroupRulesInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage,
		func(o *api.DescribeSecurityGroupRulesOutput) []types.SecurityGroupRule { return o.SecurityGroupRules })
}

func (p *Provider) interfaces(ctx context.Context, f ...types.Filter) ([]types.NetworkInterface, error) {
	g := api.NewDescribeNetworkInterfacesPaginator(p.ec2,
		&api.DescribeNetworkInterfacesInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage,
		func(o *api.DescribeNetworkInterfacesOutput) []types.NetworkInterface { return o.NetworkInterfaces })
}

// addresses has one page always.
func (p *Provider) addresses(ctx context.Context, f ...types.Filter) ([]types.Address, error) {
	o, err := p.ec2.DescribeAddresses(ctx, &api.DescribeAddressesInput{Filters: f})
	if err != nil {
		return nil, err
	}
	return o.Addresses, nil
}

func (p *Provider) volumes(ctx context.Context, f ...types.Filter) ([]types.Volume, error) {
	g := api.NewDescribeVolumesPaginator(p.ec2, &api.DescribeVolumesInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeVolumesOutput) []types.Volume {
		return o.Volumes
	})
}

// instances include those that are terminated, which EC2 shows for about an hour.
func (p *Provider) instances(ctx context.Context, f ...types.Filter) ([]types.Instance, error) {
	g := api.NewDescribeInstancesPaginator(p.ec2, &api.DescribeInstancesInput{Filters: f, MaxResults: aws.Int32(200)})
	return pages(ctx, g.HasMorePages, g.NextPage, func(o *api.DescribeInstancesOutput) []types.Instance {
		var all []types.Instance
		for _, r := range o.Reservations {
			all = append(all, r.Instances...)
		}
		return all
	})
}

// shows waits until what was just made is found by its tags, so that the next call sees it.
func shows[T any](ctx context.Context, p *Provider, find func(context.Context, ...types.Filter) ([]T, error),
	f ...types.Filter) error {
	return p.until(ctx, visible, func() (bool, error) {
		all, err := find(ctx, f...)
		return len(all) > 0, err
	})
}

// first is what has the lowest ID, nil for nothing: where a lost answer left two, each process takes the same.
func first[T any](all []T, id func(*T) *string) *T {
	var lowest *T
	for i := range all {
		if t := &all[i]; lowest == nil || aws.ToString(id(t)) < aws.ToString(id(lowest)) {
			lowest = t
		}
	}
	return lowest
}
