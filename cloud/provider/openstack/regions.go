package openstack

import (
	"context"
	"fmt"
	"slices"

	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// Regions names the regions that keystone's catalogue has a compute service in, in order.
func Regions(ctx context.Context, c Credentials) ([]string, error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the regions of OpenStack at %s: %w",
			c.auth.IdentityEndpoint, classify(ctx, err))
	}
	r, ok := client.GetAuthResult().(tokens.CreateResult)
	if !ok {
		return nil, fmt.Errorf("listing the regions of OpenStack at %s: the token came without a catalogue",
			c.auth.IdentityEndpoint)
	}
	catalog, err := r.ExtractServiceCatalog()
	if err != nil {
		return nil, fmt.Errorf("listing the regions of OpenStack at %s: %w",
			c.auth.IdentityEndpoint, classify(ctx, err))
	}
	var names []string
	for _, e := range catalog.Entries {
		for _, p := range e.Endpoints {
			if e.Type == "compute" && p.RegionID != "" && !slices.Contains(names, p.RegionID) {
				names = append(names, p.RegionID)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}
