package ec2

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"griddle/cloud/provider"
)

// List implements provider.Provider. The kinds are asked for side by side.
func (p *Provider) List(ctx context.Context, stack string) ([]provider.Resource, error) {
	what := fmt.Sprintf("listing stack %q", stack)
	if stack == "" {
		all, err := p.listImages(ctx)
		if err != nil {
			return nil, p.explain(ctx, "listing images", err)
		}
		sort(all)
		return all, nil
	}
	listers := map[provider.Kind]func(context.Context, ...types.Filter) ([]provider.Resource, error){
		provider.KindKey: p.listKeys, provider.KindNetwork: p.listNetworks, provider.KindFirewall: p.listFirewalls,
		provider.KindAddress: p.listAddresses, provider.KindVolume: p.listVolumes, provider.KindServer: p.listServers,
	}
	kinds := provider.Kinds()
	found := make([][]provider.Resource, len(kinds))
	g, gctx := errgroup.WithContext(ctx)
	for n, kind := range kinds {
		if list, ok := listers[kind]; ok {
			g.Go(func() (err error) {
				found[n], err = list(gctx, ofStack(kind, stack)...)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, p.explain(ctx, what, err)
	}
	// EC2 may take characters of the stack's name for wildcards.
	all := slices.DeleteFunc(slices.Concat(found...), func(r provider.Resource) bool { return r.Stack != stack })
	sort(all)
	return all, nil
}

func sort(all []provider.Resource) {
	kinds := provider.Kinds()
	slices.SortFunc(all, func(a, b provider.Resource) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}
