package ec2

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// links is what a server is given after it was made.
type links struct {
	stack   string
	groups  []string // network's and firewall's
	inside  bool     // the network's is among them
	address string
	volumes []string
}

// links checks what w refers to, for instance i or a new one.
func (p *Provider) links(ctx context.Context, w *provider.Server, i *types.Instance) (*links, error) {
	l := &links{stack: w.Stack, address: w.Address, volumes: w.Volumes}
	self := ""
	if i != nil {
		self = aws.ToString(i.InstanceId)
	}
	taken := func(kind provider.Kind, id, by string) error {
		if by != "" && by != self {
			return fmt.Errorf("%s %s belongs to %s: %w", kind, id, by, provider.ErrTemporary)
		}
		return nil
	}
	inside, err := p.groups(ctx, append(ofStack(provider.KindNetwork, w.Stack), filter("vpc-id", w.Network))...)
	if err != nil {
		return nil, err
	}
	if g := first(inside, func(g *types.SecurityGroup) *string { return g.GroupId }); g != nil {
		l.groups, l.inside = append(l.groups, aws.ToString(g.GroupId)), true
	}
	if w.Firewall != "" {
		all, err := p.groups(ctx, filter("group-id", w.Firewall))
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, gone(provider.KindFirewall, w.Firewall)
		}
		if err := use(all[0].Tags, provider.KindFirewall, w.Firewall, w.Stack); err != nil {
			return nil, err
		}
		l.groups = append(l.groups, w.Firewall)
	}
	if w.Address != "" {
		all, err := p.addresses(ctx, filter("allocation-id", w.Address))
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, gone(provider.KindAddress, w.Address)
		}
		if err := errors.Join(use(all[0].Tags, provider.KindAddress, w.Address, w.Stack),
			taken(provider.KindAddress, w.Address, aws.ToString(all[0].InstanceId))); err != nil {
			return nil, err
		}
	}
	if len(w.Volumes) == 0 {
		return l, nil
	}
	all, err := p.ourVolumes(ctx, filter("volume-id", w.Volumes...))
	if err != nil {
		return nil, err
	}
	there := make(map[string]*types.Volume)
	for n := range all {
		there[aws.ToString(all[n].VolumeId)] = &all[n]
	}
	for _, id := range w.Volumes {
		v := there[id]
		if v == nil || v.State == types.VolumeStateDeleting {
			return nil, gone(provider.KindVolume, id)
		}
		if err := errors.Join(use(v.Tags, provider.KindVolume, id, w.Stack),
			taken(provider.KindVolume, id, holder(v))); err != nil {
			return nil, err
		}
	}
	return l, nil
}
