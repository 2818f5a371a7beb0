package ec2

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

func instanceID(i *types.Instance) *string { return i.InstanceId }

func state(i *types.Instance) types.InstanceStateName {
	if i.State == nil {
		return types.InstanceStateNamePending
	}
	return i.State.Name
}

func serverResource(i *types.Instance) provider.Resource {
	r := labelled(i.InstanceId, i.Tags)
	switch state(i) {
	case types.InstanceStateNameRunning:
		if value(i.Tags, tagJoin) == joinPending {
			r.State = provider.Pending
		}
	case types.InstanceStateNameStopped:
		r.State = provider.Stopped
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		r.State = provider.Removing
	default:
		r.State = provider.Pending
	}
	r.Private, r.Public, r.Image = parseAddr(i.PrivateIpAddress), parseAddr(i.PublicIpAddress), aws.ToString(i.ImageId)
	return r
}

// living leaves out instances that are terminated.
func (p *Provider) living(ctx context.Context, f ...types.Filter) ([]types.Instance, error) {
	return p.instances(ctx,
		append(f, filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down"))...)
}

func (p *Provider) listServers(ctx context.Context, f ...types.Filter) ([]provider.Resource, error) {
	found, err := p.living(ctx, f...)
	var all []provider.Resource
	for i := range found {
		all = append(all, serverResource(&found[i]))
	}
	return all, err
}

func (p *Provider) ensureServer(ctx context.Context, w *provider.Server) (provider.Resource, error) {
	if most := len(devices()); len(w.Volumes) > most {
		return provider.Resource{}, fmt.Errorf("%d volumes, more than %d: %w", len(w.Volumes), most,
			provider.ErrInvalid)
	}
	all, err := p.living(ctx, named(w)...)
	if err != nil {
		return provider.Resource{}, err
	}
	i := first(all, instanceID)
	if i != nil && state(i) == types.InstanceStateNameShuttingDown {
		return provider.Resource{}, fmt.Errorf("the old one is still being removed: %w", provider.ErrTemporary)
	}
	if i != nil && value(i.Tags, provider.LabelWant) != w.Fingerprint() {
		return serverResource(i), nil
	}
	l, err := p.links(ctx, w, i)
	if err != nil {
		return provider.Resource{}, err
	}
	if i == nil {
		if i, err = p.run(ctx, w, l); err != nil {
			return provider.Resource{}, err
		}
	}
	return p.join(ctx, l, aws.ToString(i.InstanceId))
}

// request is what RunInstances is asked, after all that w refers to was found.
func (p *Provider) request(ctx context.Context, w *provider.Server, l *links) (*api.RunInstancesInput, error) {
	images, _, err := p.ourImages(ctx, filter("image-id", w.Image))
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, gone(provider.KindImage, w.Image)
	}
	if s := images[0].State; s != provider.Ready {
		return nil, fmt.Errorf("image %s is %s: %w", w.Image, s,
			map[bool]error{true: provider.ErrTemporary, false: provider.ErrInvalid}[s == provider.Pending])
	}
	subnet, err := p.subnetOf(ctx, w)
	if err != nil {
		return nil, err
	}
	if !l.inside {
		return nil, fmt.Errorf("network %s is not whole yet: %w", w.Network, provider.ErrTemporary)
	}
	in := &api.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String(w.Image),
		InstanceType:                      types.InstanceType(w.Size),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorStop,
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpEndpoint: types.InstanceMetadataEndpointStateEnabled, HttpTokens: types.HttpTokensStateRequired},
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), SubnetId: aws.String(subnet), Groups: l.groups,
			AssociatePublicIpAddress: aws.Bool(true), DeleteOnTermination: aws.Bool(true),
		}},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String(rootDevice), Ebs: &types.EbsBlockDevice{
			VolumeType: types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true), Encrypted: aws.Bool(true),
		}}},
	}
	if w.Disk > 0 {
		in.BlockDeviceMappings[0].Ebs.VolumeSize = aws.Int32(int32((w.Disk + 1<<30 - 1) >> 30))
	}
	if w.Private.IsValid() {
		in.NetworkInterfaces[0].PrivateIpAddress = aws.String(w.Private.String())
	}
	if len(w.UserData) > 0 {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString(w.UserData))
	}
	if w.Key != "" {
		all, err := p.keys(ctx, filter("key-pair-id", w.Key))
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, gone(provider.KindKey, w.Key)
		}
		if err := use(all[0].Tags, provider.KindKey, w.Key, w.Stack); err != nil {
			return nil, err
		}
		in.KeyName = all[0].KeyName
	}
	tags := labels(w)
	in.TagSpecifications = append(specs(append(tags[:len(tags):len(tags)], tag(tagJoin, joinPending)),
		types.ResourceTypeInstance),
		specs(tags, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface)...)
	return in, nil
}

// subnetOf is the subnet of w's network.
func (p *Provider) subnetOf(ctx context.Context, w *provider.Server) (string, error) {
	vpcs, err := p.vpcs(ctx, filter("vpc-id", w.Network))
	if err != nil {
		return "", err
	}
	if len(vpcs) == 0 {
		return "", gone(provider.KindNetwork, w.Network)
	}
	if err := use(vpcs[0].Tags, provider.KindNetwork, w.Network, w.Stack); err != nil {
		return "", err
	}
	subnets, err := p.subnets(ctx, append(ofStack(provider.KindNetwork, w.Stack), filter("vpc-id", w.Network))...)
	if err != nil {
		return "", err
	}
	s := first(subnets, func(s *types.Subnet) *string { return s.SubnetId })
	if s == nil {
		return "", fmt.Errorf("network %s is not whole yet: %w", w.Network, provider.ErrTemporary)
	}
	prefix, err := netip.ParsePrefix(aws.ToString(s.CidrBlock))
	if err != nil {
		return "", fmt.Errorf("subnet %s: %w", aws.ToString(s.SubnetId), err)
	}
	return aws.ToString(s.SubnetId), checkPrivate(prefix, w.Private)
}

// run makes an instance.
func (p *Provider) run(ctx context.Context, w *provider.Server, l *links) (*types.Instance, error) {
	in, err := p.request(ctx, w, l)
	if err != nil {
		return nil, err
	}
	for lost := range generations {
		in.ClientToken = nil
		in.ClientToken = aws.String(token(in, lost))
		o, err := p.ec2.RunInstances(ctx, in)
		if code(err) == "InvalidIPAddress.InUse" {
			return nil, p.whoHas(ctx, w, err)
		}
		if err != nil {
			return nil, err
		}
		if len(o.Instances) != 1 {
			return nil, fmt.Errorf("EC2 made %d instances, not one", len(o.Instances))
		}
		made := &o.Instances[0]
		err = p.until(ctx, visible, func() (bool, error) {
			all, err := p.instances(ctx, filter("instance-id", aws.ToString(o.Instances[0].InstanceId)))
			if len(all) > 0 {
				made = &all[0]
			}
			return len(all) > 0, err
		})
		// A repeated request is answered with how the instance is now (EC2 developer guide): if it is over already, the
		// token is that of a server of this name that was removed or failed since.
		if errors.Is(err, errLate) || isOver(&o.Instances[0]) {
			continue
		}
		if err == nil && isOver(made) {
			return nil, failure(made)
		}
		return made, err
	}
	return nil, fmt.Errorf("each of %d instances was lost: %w", generations, provider.ErrTemporary)
}

func isOver(i *types.Instance) bool {
	s := state(i)
	return s == types.InstanceStateNameTerminated || s == types.InstanceStateNameShuttingDown
}

// whoHas says whether the holder of an address is about to go.
func (p *Provider) whoHas(ctx context.Context, w *provider.Server, cause error) error {
	all, err := p.instances(ctx, filter("vpc-id", w.Network), filter("private-ip-address", w.Private.String()))
	if err != nil {
		return err
	}
	for i := range all {
		if bear(all[i].Tags, provider.Resource{Kind: provider.KindServer, Stack: w.Stack, Name: w.Name}) {
			return errLate // it is this server, made by another process just now
		}
		if !isOver(&all[i]) {
			return fmt.Errorf("%v belongs to %s: %w", w.Private, aws.ToString(all[i].InstanceId), provider.ErrTaken)
		}
	}
	return cause // temporary
}

// failure is why EC2 ended an instance ("StateReason", EC2 API Reference).
func failure(i *types.Instance) error {
	var c, message string
	if i.StateReason != nil {
		c, message = aws.ToString(i.StateReason.Code), clip(aws.ToString(i.StateReason.Message))
	}
	err := fmt.Errorf("EC2 ended instance %s: %s: %s", aws.ToString(i.InstanceId), c, message)
	switch {
	case c == "Client.VolumeLimitExceeded", strings.HasPrefix(c, "Server.Insufficient"):
		return fmt.Errorf("%w: %w", err, provider.ErrQuota)
	case strings.HasPrefix(c, "Server."):
		return fmt.Errorf("%w: %w", err, provider.ErrTemporary)
	case c == "", strings.HasPrefix(c, "Client.User"):
		return fmt.Errorf("%w: %w", err, provider.ErrTemporary) // somebody terminated it meanwhile: make it anew
	}
	return err
}

func (p *Provider) removeServer(ctx context.Context, r provider.Resource) error {
	all, err := p.living(ctx, filter("instance-id", r.ID))
	if err != nil || len(all) == 0 {
		return err
	}
	if !bear(all[0].Tags, r) {
		return notOurs(r)
	}
	_, err = p.ec2.TerminateInstances(ctx, &api.TerminateInstancesInput{InstanceIds: []string{r.ID}})
	if isGone(err) {
		return nil
	}
	return err
}
