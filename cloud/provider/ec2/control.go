package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"griddle/cloud/provider"
)

// server finds r's instance.
func (p *Provider) server(ctx context.Context, r provider.Resource) (*types.Instance, error) {
	all, err := p.living(ctx, filter("instance-id", r.ID))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || isOver(&all[0]) {
		return nil, gone(provider.KindServer, r.ID)
	}
	if !bear(all[0].Tags, r) {
		return nil, notOurs(r)
	}
	return &all[0], nil
}

// Control implements provider.Provider.
func (p *Provider) Control(ctx context.Context, r provider.Resource, a provider.Action) error {
	if err := p.control(ctx, r, a); err != nil {
		return p.explain(ctx, fmt.Sprintf("%s of server %q (%s)", a, r.Name, r.ID), err)
	}
	return nil
}

func (p *Provider) control(ctx context.Context, r provider.Resource, a provider.Action) error {
	i, err := p.server(ctx, r)
	if err != nil {
		return err
	}
	ids := []string{r.ID}
	now := state(i)
	running := now == types.InstanceStateNameRunning || now == types.InstanceStateNamePending
	switch {
	case a == provider.Stop && running:
		_, err = p.ec2.StopInstances(ctx, &api.StopInstancesInput{InstanceIds: ids})
	case a == provider.Reboot && running:
		_, err = p.ec2.RebootInstances(ctx, &api.RebootInstancesInput{InstanceIds: ids})
	case (a == provider.Start || a == provider.Reboot) && !running:
		_, err = p.ec2.StartInstances(ctx, &api.StartInstancesInput{InstanceIds: ids})
	case a != provider.Start && a != provider.Stop && a != provider.Reboot:
		err = fmt.Errorf("there is no action %q: %w", a, provider.ErrInvalid)
	}
	return err
}

// Console implements provider.Consoler.
func (p *Provider) Console(ctx context.Context, r provider.Resource) ([]byte, error) {
	b, err := p.console(ctx, r)
	if err != nil {
		return nil, p.explain(ctx, fmt.Sprintf("reading the console of server %q (%s)", r.Name, r.ID), err)
	}
	return b, nil
}

func (p *Provider) console(ctx context.Context, r provider.Resource) ([]byte, error) {
	if _, err := p.server(ctx, r); err != nil {
		return nil, err
	}
	in := &api.GetConsoleOutputInput{InstanceId: aws.String(r.ID), Latest: aws.Bool(true)}
	o, err := p.ec2.GetConsoleOutput(ctx, in)
	if code(err) == "UnsupportedOperation" {
		// Sizes without Nitro have what was written at the last start and stop alone.
		in.Latest = nil
		o, err = p.ec2.GetConsoleOutput(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(aws.ToString(o.Output))
	if err != nil {
		return nil, fmt.Errorf("decoding it: %w", err)
	}
	return b[max(0, len(b)-64<<10):], nil
}

// Sizes implements provider.Provider: the region's types of the current generation, the smallest memory first.
func (p *Provider) Sizes(ctx context.Context) ([]provider.Size, error) {
	g := api.NewDescribeInstanceTypesPaginator(p.ec2, &api.DescribeInstanceTypesInput{
		Filters: []types.Filter{filter("current-generation", "true"),
			filter("supported-virtualization-type", "hvm")},
		MaxResults: aws.Int32(100),
	})
	found, err := pages(ctx, g.HasMorePages, g.NextPage,
		func(o *api.DescribeInstanceTypesOutput) []types.InstanceTypeInfo { return o.InstanceTypes })
	if err != nil {
		return nil, p.explain(ctx, "listing sizes", err)
	}
	var all []provider.Size
	for _, t := range found {
		if t.VCpuInfo == nil || t.MemoryInfo == nil {
			continue
		}
		all = append(all, provider.Size{
			Name: string(t.InstanceType), CPUs: int(aws.ToInt32(t.VCpuInfo.DefaultVCpus)),
			Memory: aws.ToInt64(t.MemoryInfo.SizeInMiB) << 20,
		})
	}
	slices.SortFunc(all, func(a, b provider.Size) int {
		return cmp.Or(cmp.Compare(a.Memory, b.Memory), cmp.Compare(a.CPUs, b.CPUs), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}
