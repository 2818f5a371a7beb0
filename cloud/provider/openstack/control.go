package openstack

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// Control implements provider.Provider. Nova gives a server that is stopped the cloud's
// shutdown_timeout, a minute by default.
func (p *Provider) Control(ctx context.Context, r provider.Resource, a provider.Action) error {
	if err := p.control(ctx, r, a); err != nil {
		return fmt.Errorf("%s of server %q: %w", a, r.Name, classify(ctx, err))
	}
	return nil
}

func (p *Provider) control(ctx context.Context, r provider.Resource, a provider.Action) error {
	s, err := p.ourServer(ctx, r)
	if err != nil {
		return err
	}
	state, reason := serverState(*s)
	switch {
	case state == provider.Failed:
		return fmt.Errorf("it failed (%s): %w", reason, provider.ErrInvalid)
	case state == provider.Removing:
		return provider.ErrNotFound
	case a != provider.Start && a != provider.Stop && a != provider.Reboot:
		return provider.ErrInvalid
	case a == provider.Stop && state == provider.Stopped, a == provider.Start && state == provider.Ready:
		return nil
	case state == provider.Pending:
		return fmt.Errorf("it is %s (%s): %w", s.Status, s.TaskState, provider.ErrTemporary)
	case a == provider.Stop:
		return servers.Stop(ctx, p.compute, r.ID).ExtractErr()
	case state == provider.Ready:
		return servers.Reboot(ctx, p.compute, r.ID, servers.RebootOpts{Type: servers.SoftReboot}).ExtractErr()
	}
	// Somebody can have paused, suspended or shelved it by hand.
	switch s.Status {
	case "PAUSED":
		return servers.Unpause(ctx, p.compute, r.ID).ExtractErr()
	case "SUSPENDED":
		return servers.Resume(ctx, p.compute, r.ID).ExtractErr()
	case "SHELVED", "SHELVED_OFFLOADED":
		return servers.Unshelve(ctx, p.compute, r.ID, servers.UnshelveOpts{}).ExtractErr()
	}
	return servers.Start(ctx, p.compute, r.ID).ExtractErr()
}

// ourServer gets a server, which must be r.
func (p *Provider) ourServer(ctx context.Context, r provider.Resource) (*servers.Server, error) {
	s, err := servers.Get(ctx, p.compute, r.ID).Extract()
	if err != nil {
		return nil, err
	}
	if l, ok := parseMetadata(s.Metadata); !owns(l, ok, r) {
		return nil, taken(r)
	}
	return s, nil
}

// maxConsole is the most bytes of a console that are given.
const maxConsole = 64 << 10

// Console implements provider.Consoler.
func (p *Provider) Console(ctx context.Context, r provider.Resource) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("reading the console of server %q: %w", r.Name, classify(ctx, err))
	}
	if _, err := p.ourServer(ctx, r); err != nil {
		return fail(err)
	}
	text, err := servers.ShowConsoleOutput(ctx, p.compute, r.ID, servers.ShowConsoleOutputOpts{}).Extract()
	if err != nil {
		return fail(err)
	}
	return []byte(text[max(0, len(text)-maxConsole):]), nil
}

// Sizes implements provider.Provider: the flavors that the project may use, the smallest first.
func (p *Provider) Sizes(ctx context.Context) ([]provider.Size, error) {
	all, err := p.flavors(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing sizes: %w", classify(ctx, err))
	}
	var sizes []provider.Size
	for _, f := range all {
		sizes = append(sizes,
			provider.Size{Name: f.Name, CPUs: f.VCPUs, Memory: int64(f.RAM) << 20, Disk: int64(f.Disk) << 30})
	}
	slices.SortFunc(sizes, func(a, b provider.Size) int {
		return cmp.Or(cmp.Compare(a.Memory, b.Memory), cmp.Compare(a.CPUs, b.CPUs), cmp.Compare(a.Disk, b.Disk),
			cmp.Compare(a.Name, b.Name))
	})
	return sizes, nil
}

func (p *Provider) flavors(ctx context.Context) ([]flavors.Flavor, error) {
	pages, err := flavors.ListDetail(p.compute, nil).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	return flavors.ExtractFlavors(pages)
}

// flavor finds a size by its name.
func (p *Provider) flavor(ctx context.Context, size string) (flavors.Flavor, error) {
	all, err := p.flavors(ctx)
	if err != nil {
		return flavors.Flavor{}, err
	}
	i := slices.IndexFunc(all, func(f flavors.Flavor) bool { return f.Name == size })
	if i < 0 {
		return flavors.Flavor{}, fmt.Errorf("the cloud has no size %q: %w", size, provider.ErrInvalid)
	}
	return all[i], nil
}
