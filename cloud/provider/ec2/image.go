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

// rootDevice is what an AMI's root disk is called; the system sees /dev/nvme0n1.
const rootDevice = "/dev/xvda"

// ofDigest are filters for what was made from an image's bytes: AMIs and snapshots.
func ofDigest(digest string) []types.Filter {
	return []types.Filter{filter("tag:"+provider.LabelKind, string(provider.KindImage)),
		filter("tag:"+provider.LabelDigest, digest)}
}

func imageResource(i *types.Image) provider.Resource {
	r := labelled(i.ImageId, i.Tags)
	switch i.State {
	case types.ImageStateAvailable:
	case types.ImageStatePending, types.ImageStateTransient:
		r.State = provider.Pending
	default:
		r.State, r.Reason = provider.Failed, string(i.State)
		if i.StateReason != nil {
			r.Reason = clip(aws.ToString(i.StateReason.Message))
		}
	}
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil {
			r.Size = int64(aws.ToInt32(m.Ebs.VolumeSize)) << 30
		}
	}
	return r
}

// ourImages are the AMIs that filters find and that are still there.
func (p *Provider) ourImages(ctx context.Context, f ...types.Filter) ([]provider.Resource, []types.Image, error) {
	found, err := p.images(ctx, f...)
	if err != nil {
		return nil, nil, err
	}
	found = slices.DeleteFunc(found, func(i types.Image) bool {
		return i.State == types.ImageStateDeregistered ||
			value(i.Tags, provider.LabelKind) != string(provider.KindImage)
	})
	var all []provider.Resource
	for i := range found {
		all = append(all, imageResource(&found[i]))
	}
	return all, found, nil
}

// listImages lists AMIs, and as pending ones snapshots that no AMI was made of yet.
func (p *Provider) listImages(ctx context.Context) ([]provider.Resource, error) {
	kind := filter("tag:"+provider.LabelKind, string(provider.KindImage))
	all, _, err := p.ourImages(ctx, kind)
	if err != nil {
		return nil, err
	}
	snapshots, err := p.snapshots(ctx, kind)
	if err != nil {
		return nil, err
	}
	for _, s := range snapshots {
		r := labelled(s.SnapshotId, s.Tags)
		if r.Kind != provider.KindImage || slices.ContainsFunc(all, func(i provider.Resource) bool {
			return i.Digest == r.Digest
		}) {
			continue
		}
		if r.State = provider.Pending; s.State == types.SnapshotStateError {
			r.State, r.Reason = provider.Failed, clip(aws.ToString(s.StateMessage))
		}
		r.Size = int64(aws.ToInt32(s.VolumeSize)) << 30
		all = append(all, r)
	}
	return all, nil
}

func (p *Provider) ensureImage(ctx context.Context, w *provider.Image) (provider.Resource, error) {
	if r, err := p.findImage(ctx, w.Digest); err != nil || r != nil {
		return deref(r), err
	}
	snapshot, err := p.ensureSnapshot(ctx, w)
	if err != nil {
		return provider.Resource{}, err
	}
	id, err := p.register(ctx, w, snapshot)
	if code(err) == "InvalidAMIName.Duplicate" {
		// Another process, or an earlier call whose answer was lost, was faster.
		return p.registered(ctx, w, snapshot)
	}
	if err != nil {
		return provider.Resource{}, err
	}
	p.o.Log.InfoContext(ctx, "registered", "image", w.Name, "ami", id)
	var r provider.Resource
	err = p.until(ctx, visible, func() (bool, error) {
		all, _, err := p.ourImages(ctx, filter("image-id", id))
		if len(all) > 0 {
			r = all[0]
		}
		return len(all) > 0, err
	})
	return r, err
}

func deref(r *provider.Resource) provider.Resource {
	if r == nil {
		return provider.Resource{}
	}
	return *r
}

// findImage is the AMI of a digest, nil where there is none; a usable one where there are several.
func (p *Provider) findImage(ctx context.Context, digest string) (*provider.Resource, error) {
	all, _, err := p.ourImages(ctx, ofDigest(digest)...)
	if err != nil {
		return nil, err
	}
	for _, state := range []provider.State{provider.Ready, provider.Pending, provider.Failed} {
		some := slices.DeleteFunc(slices.Clone(all), func(r provider.Resource) bool { return r.State != state })
		if r := first(some, func(r *provider.Resource) *string { return &r.ID }); r != nil {
			return r, nil
		}
	}
	return nil, nil
}

func amiName(digest string) string { return "griddle-" + strings.TrimPrefix(digest, "sha256:") }

// register makes an AMI of a snapshot. Its name holds the digest, so there is one.
func (p *Provider) register(ctx context.Context, w *provider.Image, snapshot string) (string, error) {
	in := &api.RegisterImageInput{
		Name: aws.String(amiName(w.Digest)), Description: aws.String(w.Name),
		Architecture: types.ArchitectureValuesX8664, VirtualizationType: aws.String("hvm"), EnaSupport: aws.Bool(true),
		ImdsSupport: types.ImdsSupportValuesV20, RootDeviceName: aws.String(rootDevice),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{
			SnapshotId: aws.String(snapshot), VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true),
		}}},
		TagSpecifications: specs(labels(w), types.ResourceTypeImage),
	}
	switch {
	case w.Arch == "arm64":
		// Graviton knows UEFI alone.
		if !w.UEFI {
			return "", fmt.Errorf("arm64 boots by UEFI alone: %w", provider.ErrInvalid)
		}
		in.Architecture, in.BootMode = types.ArchitectureValuesArm64, types.BootModeValuesUefi
	case w.UEFI && w.BIOS:
		in.BootMode = types.BootModeValuesUefiPreferred
	case w.UEFI:
		in.BootMode = types.BootModeValuesUefi
	default:
		in.BootMode = types.BootModeValuesLegacyBios
	}
	o, err := p.ec2.RegisterImage(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(o.ImageId), nil
}

// registered is the AMI that holds our name already. A snapshot that it was not made of is not needed.
func (p *Provider) registered(ctx context.Context, w *provider.Image, snapshot string) (provider.Resource, error) {
	var holder *types.Image
	err := p.until(ctx, visible, func() (bool, error) {
		all, err := p.images(ctx, filter("name", amiName(w.Digest)))
		if len(all) > 0 {
			holder = &all[0]
		}
		return len(all) > 0, err
	})
	if err != nil {
		return provider.Resource{}, err
	}
	if value(holder.Tags, provider.LabelDigest) != w.Digest ||
		value(holder.Tags, provider.LabelKind) != string(provider.KindImage) {
		return provider.Resource{}, fmt.Errorf("the AMI %s is called %s and does not have our labels: %w",
			aws.ToString(holder.ImageId), amiName(w.Digest), provider.ErrTaken)
	}
	if !slices.Contains(snapshotsOf(holder), snapshot) {
		if err := p.deleteSnapshot(ctx, snapshot); err != nil {
			return provider.Resource{}, err
		}
	}
	return imageResource(holder), nil
}

func snapshotsOf(i *types.Image) []string {
	var all []string
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && m.Ebs.SnapshotId != nil {
			all = append(all, *m.Ebs.SnapshotId)
		}
	}
	return all
}

// removeImage takes the AMI away, then its snapshot: a kill in between leaves a snapshot that List shows.
func (p *Provider) removeImage(ctx context.Context, r provider.Resource) error {
	if strings.HasPrefix(r.ID, "snap-") {
		return p.removeSnapshots(ctx, r, r.ID)
	}
	all, err := p.images(ctx, filter("image-id", r.ID))
	if err != nil {
		return err
	}
	if len(all) == 0 || all[0].State == types.ImageStateDeregistered {
		return nil
	}
	if !bear(all[0].Tags, r) {
		return notOurs(r)
	}
	snapshots := snapshotsOf(&all[0])
	_, err = p.ec2.DeregisterImage(ctx, &api.DeregisterImageInput{ImageId: aws.String(r.ID)})
	if err != nil && !isGone(err) && code(err) != "InvalidAMIID.Unavailable" {
		return err
	}
	return p.removeSnapshots(ctx, r, snapshots...)
}

func (p *Provider) removeSnapshots(ctx context.Context, r provider.Resource, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	all, err := p.snapshots(ctx, filter("snapshot-id", ids...))
	if err != nil {
		return err
	}
	for _, s := range all {
		if !bear(s.Tags, r) {
			if strings.HasPrefix(r.ID, "snap-") {
				return notOurs(r)
			}
			continue
		}
		if err := p.deleteSnapshot(ctx, aws.ToString(s.SnapshotId)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) deleteSnapshot(ctx context.Context, id string) error {
	_, err := p.ec2.DeleteSnapshot(ctx, &api.DeleteSnapshotInput{SnapshotId: aws.String(id)})
	if isGone(err) {
		return nil
	}
	return err
}

// isGone says whether EC2 does not know what was named.
func isGone(err error) bool {
	return strings.HasSuffix(code(err), ".NotFound") || strings.HasSuffix(code(err), "NotFoundException")
}
