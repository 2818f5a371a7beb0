package ec2

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// zone is where a stack is.
func (p *Provider) zone(ctx context.Context, stack string) (string, error) {
	subnets, err := p.subnets(ctx, ofStack(provider.KindNetwork, stack)...)
	if err != nil {
		return "", err
	}
	if s := first(subnets, func(s *types.Subnet) *string { return s.SubnetId }); s != nil {
		return aws.ToString(s.AvailabilityZone), nil
	}
	volumes, err := p.volumes(ctx, ofStack(provider.KindVolume, stack)...)
	if err != nil {
		return "", err
	}
	if v := first(volumes, func(v *types.Volume) *string { return v.VolumeId }); v != nil {
		return aws.ToString(v.AvailabilityZone), nil
	}
	if p.o.Zone != "" {
		return p.o.Zone, nil
	}
	o, err := p.ec2.DescribeAvailabilityZones(ctx, &api.DescribeAvailabilityZonesInput{
		Filters: []types.Filter{filter("state", "available"), filter("zone-type", "availability-zone")},
	})
	if err != nil {
		return "", err
	}
	z := first(o.AvailabilityZones, func(z *types.AvailabilityZone) *string { return z.ZoneName })
	if z == nil {
		return "", fmt.Errorf("the region has no availability zone: %w", provider.ErrQuota)
	}
	return aws.ToString(z.ZoneName), nil
}

// checkPrivate says whether a server can have the address: EC2 keeps two more than others do (VPC user guide,
// "Subnet CIDR blocks").
func checkPrivate(prefix netip.Prefix, a netip.Addr) error {
	if err := provider.CheckPrivate(prefix, a); err != nil || !a.IsValid() {
		return err
	}
	second := prefix.Masked().Addr().Next().Next()
	if a == second || a == second.Next() {
		return fmt.Errorf("EC2 keeps %v for itself: %w", a, provider.ErrInvalid)
	}
	return nil
}
