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

func addressResource(a *types.Address) provider.Resource {
	r := labelled(a.AllocationId, a.Tags)
	r.Public, r.Bound = parseAddr(a.PublicIp), aws.ToString(a.InstanceId)
	return r
}

// parseAddr is an address in an answer, or an invalid one.
func parseAddr(s *string) netip.Addr {
	a, _ := netip.ParseAddr(aws.ToString(s))
	return a
}

func (p *Provider) listAddresses(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.addresses(ctx, f...)
	var all []provider.Resource
	for i := range found {
		all = append(all, addressResource(&found[i]))
	}
	return all, err
}

func (p *Provider) ensureAddress(ctx context.Context, w *provider.Address) (provider.Resource, error) {
	if w.External != "" {
		return provider.Resource{}, errExternal(w.External)
	}
	all, err := p.listAddresses(ctx, named(w)...)
	if r := first(all, func(r *provider.Resource) *string { return &r.ID }); err != nil || r != nil {
		return deref(r), err
	}
	tags := labels(w)
	o, err := p.ec2.AllocateAddress(ctx, &api.AllocateAddressInput{
		Domain: types.DomainTypeVpc, TagSpecifications: specs(tags, types.ResourceTypeElasticIp),
	}, once)
	if err != nil {
		return provider.Resource{}, err
	}
	r := labelled(o.AllocationId, tags)
	r.Public = parseAddr(o.PublicIp)
	return r, shows(ctx, p, p.addresses, named(w)...)
}

func errExternal(name string) error {
	return fmt.Errorf("EC2 has no external network %q: leave it empty: %w", name, provider.ErrInvalid)
}

func (p *Provider) removeAddress(ctx context.Context, r provider.Resource) error {
	all, err := p.addresses(ctx, filter("allocation-id", r.ID))
	if err != nil || len(all) == 0 {
		return err
	}
	if !bear(all[0].Tags, r) {
		return notOurs(r)
	}
	if all[0].AssociationId != nil {
		return fmt.Errorf("%s uses it: %w", aws.ToString(all[0].InstanceId), provider.ErrTemporary)
	}
	_, err = p.ec2.ReleaseAddress(ctx, &api.ReleaseAddressInput{AllocationId: aws.String(r.ID)})
	if isGone(err) {
		return nil
	}
	return err
}
