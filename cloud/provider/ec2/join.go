package ec2

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// devices are the names that data volumes can have (EC2 user guide, "Device names for volumes").
func devices() []string {
	var all []string
	for c := 'f'; c <= 'p'; c++ {
		all = append(all, "/dev/sd"+string(c))
	}
	return all
}

// join gives an instance its groups, address and volumes, and takes away those that it is not to have.
func (p *Provider) join(ctx context.Context, l *links, id string) (provider.Resource, error) {
	i, err := p.settled(ctx, id)
	if err != nil {
		return provider.Resource{}, err
	}
	for _, step := range []func(context.Context, *links, *types.Instance) error{p.joinGroups,
		p.joinAddress, p.joinVolumes} {
		if err := step(ctx, l, i); err != nil {
			return provider.Resource{}, err
		}
	}
	if value(i.Tags, tagJoin) == joinPending {
		_, err := p.ec2.CreateTags(ctx,
			&api.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{tag(tagJoin, joinDone)}})
		if err != nil {
			return provider.Resource{}, err
		}
	}
	all, err := p.instances(ctx, filter("instance-id", id))
	if err != nil || len(all) == 0 {
		return serverResource(i), err
	}
	return serverResource(&all[0]), nil
}

// settled waits until an instance is no longer being started or stopped: volumes and addresses are refused until then.
func (p *Provider) settled(ctx context.Context, id string) (*types.Instance, error) {
	var i *types.Instance
	err := p.until(ctx, 0, func() (bool, error) {
		all, err := p.instances(ctx, filter("instance-id", id))
		if err != nil {
			return false, err
		}
		if len(all) == 0 {
			return false, gone(provider.KindServer, id)
		}
		i = &all[0]
		if isOver(i) {
			return false, failure(i)
		}
		s := state(i)
		return s == types.InstanceStateNameRunning || s == types.InstanceStateNameStopped, nil
	})
	return i, err
}

// primary is an instance's first interface.
func primary(i *types.Instance) (*types.InstanceNetworkInterface, error) {
	for n := range i.NetworkInterfaces {
		if a := i.NetworkInterfaces[n].Attachment; a != nil && aws.ToInt32(a.DeviceIndex) == 0 {
			return &i.NetworkInterfaces[n], nil
		}
	}
	return nil, fmt.Errorf("instance %s has no interface yet: %w", aws.ToString(i.InstanceId), provider.ErrTemporary)
}

func (p *Provider) joinGroups(ctx context.Context, l *links, i *types.Instance) error {
	end, err := primary(i)
	if err != nil {
		return err
	}
	var has []string
	for _, g := range end.Groups {
		has = append(has, aws.ToString(g.GroupId))
	}
	want := slices.Clone(l.groups)
	slices.Sort(has)
	slices.Sort(want)
	if !l.inside || slices.Equal(has, want) {
		return nil
	}
	_, err = p.ec2.ModifyNetworkInterfaceAttribute(ctx,
		&api.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: end.NetworkInterfaceId, Groups: want})
	return err
}

func (p *Provider) joinAddress(ctx context.Context, l *links, i *types.Instance) error {
	all, err := p.addresses(ctx,
		append(ofStack(provider.KindAddress, l.stack), filter("instance-id", aws.ToString(i.InstanceId)))...)
	if err != nil {
		return err
	}
	for _, a := range all {
		if aws.ToString(a.AllocationId) == l.address {
			return nil
		}
		_, err := p.ec2.DisassociateAddress(ctx, &api.DisassociateAddressInput{AssociationId: a.AssociationId})
		if err != nil && !isGone(err) {
			return err
		}
	}
	if l.address == "" {
		return nil
	}
	end, err := primary(i)
	if err != nil {
		return err
	}
	_, err = p.ec2.AssociateAddress(ctx, &api.AssociateAddressInput{
		AllocationId: aws.String(l.address), NetworkInterfaceId: end.NetworkInterfaceId,
		AllowReassociation: aws.Bool(false),
	})
	if code(err) == "Resource.AlreadyAssociated" {
		all, err2 := p.addresses(ctx, filter("allocation-id", l.address))
		if err2 == nil && len(all) > 0 && aws.ToString(all[0].InstanceId) == aws.ToString(i.InstanceId) {
			return nil // another process was faster
		}
	}
	return err
}

// joinVolumes detaches what is not wanted, then attaches one after the other: the system counts disks as they come.
func (p *Provider) joinVolumes(ctx context.Context, l *links, i *types.Instance) error {
	id := aws.ToString(i.InstanceId)
	ours, err := p.ourVolumes(ctx,
		append(ofStack(provider.KindVolume, l.stack), filter("attachment.instance-id", id))...)
	if err != nil {
		return err
	}
	for _, v := range ours {
		if slices.Contains(l.volumes, aws.ToString(v.VolumeId)) || holder(&v) != id {
			continue
		}
		_, err := p.ec2.DetachVolume(ctx, &api.DetachVolumeInput{VolumeId: v.VolumeId, InstanceId: aws.String(id)})
		if err != nil && code(err) != "IncorrectState" {
			return err // IncorrectState: it is being detached already
		}
	}
	for _, v := range l.volumes {
		if err := p.attach(ctx, id, v); err != nil {
			return err
		}
	}
	return nil
}

// attach waits until a volume is at an instance.
func (p *Provider) attach(ctx context.Context, id, volume string) error {
	return p.until(ctx, 0, func() (bool, error) {
		all, err := p.volumes(ctx, filter("volume-id", volume))
		if err != nil {
			return false, err
		}
		if len(all) == 0 {
			return false, gone(provider.KindVolume, volume)
		}
		v := &all[0]
		for _, a := range v.Attachments {
			switch {
			case a.State == types.VolumeAttachmentStateDetached:
			case aws.ToString(a.InstanceId) != id:
				return false, fmt.Errorf("volume %s belongs to %s: %w", volume, aws.ToString(a.InstanceId),
					provider.ErrTemporary)
			default:
				return a.State == types.VolumeAttachmentStateAttached, nil
			}
		}
		if v.State == types.VolumeStateCreating {
			return false, nil
		}
		device, err := p.freeDevice(ctx, id)
		if err != nil {
			return false, err
		}
		_, err = p.ec2.AttachVolume(ctx, &api.AttachVolumeInput{VolumeId: aws.String(volume),
			InstanceId: aws.String(id), Device: aws.String(device)})
		if code(err) == "VolumeInUse" || code(err) == "InvalidParameterValue" &&
			strings.Contains(err.Error(), "already in use") {
			return false, nil // another process was faster, with this volume or this name: look again
		}
		return false, err
	})
}

// freeDevice is the first name that no disk of the instance has.
func (p *Provider) freeDevice(ctx context.Context, id string) (string, error) {
	all, err := p.instances(ctx, filter("instance-id", id))
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", gone(provider.KindServer, id)
	}
	for _, d := range devices() {
		if !slices.ContainsFunc(all[0].BlockDeviceMappings, func(m types.InstanceBlockDeviceMapping) bool {
			return aws.ToString(m.DeviceName) == d
		}) {
			return d, nil
		}
	}
	return "", fmt.Errorf("instance %s has no place for another volume: %w", id, provider.ErrQuota)
}
