package cloud

import (
	"context"
	"fmt"
	"slices"

	"griddle/cloud/provider"
)

// Control starts, stops or reboots servers, and waits until they are so. Roles are started in the order in which they are brought up,
// and stopped in the opposite one; the servers of one side by side.
func (c *Cloud) Control(ctx context.Context, name string, p Pick, a provider.Action) error {
	if _, _, err := c.inspect(ctx, name); err != nil {
		return err
	}
	r, end, err := c.begin(name, string(a), nil)
	if err != nil {
		return err
	}
	defer end()
	state, have, err := c.inspect(ctx, name)
	if err != nil {
		return err
	}
	picked, err := p.from(state, have)
	if err != nil {
		return fmt.Errorf("stack %s: %w", name, err)
	}
	if a == provider.Stop {
		slices.Reverse(picked)
	}
	type group struct {
		role    string
		servers []provider.Resource
	}
	var groups []group
	for _, v := range picked {
		role := ""
		if k := state.Servers[v.Name]; k != nil {
			role = k.Role
		}
		if len(groups) == 0 || groups[len(groups)-1].role != role {
			groups = append(groups, group{role: role})
		}
		groups[len(groups)-1].servers = append(groups[len(groups)-1].servers, v)
	}
	r.stage.Of = len(groups)
	for _, g := range groups {
		err := r.do(ctx, string(a)+" "+groupTitle(g.role), func(ctx context.Context) error {
			return each(ctx, r.settings.Parallel, false, g.servers, func(ctx context.Context, v provider.Resource) error {
				within, stop := context.WithTimeoutCause(ctx, r.settings.Server, late(r.settings.Server))
				defer stop()
				got, err := r.control(within, v, a)
				if err != nil {
					return fmt.Errorf("server %s: %w", v.Name, err)
				}
				r.say("server %s is %s", v.Name, got.State)
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
