package ec2

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

func volumeResource(v *types.Volume) provider.Resource {
	r := labelled(v.VolumeId, v.Tags)
	switch v.State {
	case types.VolumeStateAvailable, types.VolumeStateInUse:
	case types.VolumeStateCreating:
		r.State = provider.Pending
	case types.VolumeStateDeleting, types.VolumeStateDeleted:
		r.State = provider.Removing
	default:
		r.State, r.Reason = provider.Failed, "EBS says "+string(v.State)
	}
	r.Size = int64(aws.ToInt32(v.Size)) << 30
	r.Bound = holder(v)
	return r
}

// holder is the instance that has a volume.
func holder(v *types.Volume) string {
	for _, a := range v.Attachments {
		if a.State != types.VolumeAttachmentStateDetached {
			return aws.ToString(a.InstanceId)
		}
	}
	return ""
}

func volumeID(v *types.Volume) *string { return v.VolumeId }

// ourVolumes leaves out what is gone.
func (p *Provider) ourVolumes(ctx context.Context, f ...types.Filter) ([]types.Volume, error) {
	return p.volumes(ctx, append(f, filter("status", "creating", "available", "in-use", "deleting", "error"))...)
}

func (p *Provider) listVolumes(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.ourVolumes(ctx, f...)
	var all []provider.Resource
	for i := range found {
		all = append(all, volumeResource(&found[i]))
	}
	return all, err
}

func (p *Provider) ensureVolume(ctx context.Context, w *provider.Volume) (provider.Resource, error) {
	all, err := p.ourVolumes(ctx, named(w)...)
	if err != nil {
		return provider.Resource{}, err
	}
	if v := first(all, volumeID); v != nil {
		if v.State == types.VolumeStateDeleting {
			return provider.Resource{}, fmt.Errorf("the old one is still being removed: %w", provider.ErrTemporary)
		}
		return p.grow(ctx, v, w.Size)
	}
	zone, err := p.zone(ctx, w.Stack)
	if err != nil {
		return provider.Resource{}, err
	}
	in := &api.CreateVolumeInput{
		AvailabilityZone: aws.String(zone), Size: aws.Int32(int32(w.Size >> 30)), VolumeType: types.VolumeTypeGp3,
		Encrypted:         aws.Bool(true),
		TagSpecifications: specs(labels(w), types.ResourceTypeVolume),
	}
	if w.Type != "" {
		in.VolumeType = types.VolumeType(w.Type)
	}
	for lost := range generations {
		in.ClientToken = nil
		in.ClientToken = aws.String(token(in, lost))
		o, err := p.ec2.CreateVolume(ctx, in)
		if err != nil {
			return provider.Resource{}, err
		}
		var made *types.Volume
		err = p.until(ctx, visible, func() (bool, error) {
			all, err := p.volumes(ctx, filter("volume-id", aws.ToString(o.VolumeId)))
			made = first(all, volumeID)
			return made != nil, err
		})
		if errors.Is(err, errLate) || err == nil && made.State == types.VolumeStateDeleted {
			continue // the token is that of a volume that was deleted since
		}
		if err != nil {
			return provider.Resource{}, err
		}
		return volumeResource(made), nil
	}
	return provider.Resource{}, fmt.Errorf("each of %d volumes was lost: %w", generations, provider.ErrTemporary)
}

// grow makes a volume larger, never smaller.
func (p *Provider) grow(ctx context.Context, v *types.Volume, size int64) (provider.Resource, error) {
	r := volumeResource(v)
	if r.Size >= size || r.State == provider.Failed {
		return r, nil
	}
	_, err := p.ec2.ModifyVolume(ctx, &api.ModifyVolumeInput{VolumeId: v.VolumeId, Size: aws.Int32(int32(size >> 30))})
	if err != nil {
		return provider.Resource{}, err
	}
	// What the size is only shows when the modification has begun; until then the volume can be used as it is.
	return r, nil
}

func (p *Provider) removeVolume(ctx context.Context, r provider.Resource) error {
	all, err := p.ourVolumes(ctx, filter("volume-id", r.ID))
	if err != nil || len(all) == 0 {
		return err
	}
	v := &all[0]
	if !bear(v.Tags, r) {
		return notOurs(r)
	}
	if v.State == types.VolumeStateDeleting {
		return nil
	}
	if by := holder(v); by != "" {
		return fmt.Errorf("%s uses it: %w", by, provider.ErrTemporary)
	}
	_, err = p.ec2.DeleteVolume(ctx, &api.DeleteVolumeInput{VolumeId: v.VolumeId})
	if isGone(err) {
		return nil
	}
	return err
}
