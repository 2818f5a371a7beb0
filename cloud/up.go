package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// Options are how a stack is brought to what is declared.
type Options struct {
	// Confirm is shown the plan before anything is done; an error stops. nil confirms.
	Confirm func(*plan.Plan) error

	Rebuild []string // servers to replace though nothing changed; their volumes and addresses stay
	AtOnce  int      // servers that may be replaced at once; 0 for one after another
}

// Plan says what Up would do. It takes no lock and changes nothing.
func (c *Cloud) Plan(ctx context.Context, s *stack.Stack) (*plan.Plan, error) {
	state, err := c.stateOrNew(s.Name)
	if err != nil {
		return nil, err
	}
	in, err := c.survey(ctx, s, state)
	if err != nil {
		return nil, err
	}
	return plan.Make(in)
}

// Up brings a stack to what is declared. What is so already is left alone. The plan that it returns was made after the
// lock was taken; it is nil where the error came before.
func (c *Cloud) Up(ctx context.Context, s *stack.Stack, o Options) (*plan.Plan, error) {
	return c.converge(ctx, s, "up", o, nil)
}

// Scale is Up with n servers in a role, within the role's bounds. The number is kept, and counts more than the declared
// one, until it is the declared one again.
func (c *Cloud) Scale(ctx context.Context, s *stack.Stack, role string, n int, o Options) (*plan.Plan, error) {
	return c.converge(ctx, s, "scale", o, func(_ context.Context, in *plan.Input) error {
		i := slices.IndexFunc(s.Roles, func(r stack.Role) bool { return r.Name == role })
		if i < 0 {
			return fmt.Errorf("the stack has no role %s", role)
		}
		if n < s.Roles[i].Min || s.Roles[i].Max > 0 && n > s.Roles[i].Max {
			return fmt.Errorf("role %s: %d servers are not within %d to %d", role, n, s.Roles[i].Min, s.Roles[i].Max)
		}
		if n == s.Roles[i].Count {
			delete(in.State.Scale, role)
			return nil
		}
		if in.State.Scale == nil {
			in.State.Scale = make(map[string]int)
		}
		in.State.Scale[role] = n
		return nil
	})
}

// Upgrade is Up with the versions that the stack file's images have now. Servers of another version are replaced, role
// by role and Options.AtOnce at a time, with their addresses and volumes; the first that fails stops it. versions, by
// reference, are taken in place of what the catalog says; it may be nil.
func (c *Cloud) Upgrade(ctx context.Context, s *stack.Stack, versions map[string]string,
	o Options) (*plan.Plan, error) {
	return c.converge(ctx, s, "upgrade", o, func(_ context.Context, in *plan.Input) error {
		if in.State.Images == nil {
			in.State.Images = make(map[string]state.Image)
		}
		for _, v := range s.Servers {
			key := plan.ImageKey(v)
			version := versions[v.Image]
			if version == "" {
				version = in.Versions[key]
			}
			if version == "" {
				return fmt.Errorf("image %s is not known", key)
			}
			if in.State.Images[key].Version != version {
				in.State.Images[key] = state.Image{Version: version}
			}
		}
		for name, v := range in.State.Servers {
			if v.Origin != nil && v.Spec == nil && slices.ContainsFunc(s.Servers, func(d stack.Server) bool {
				return d.Name == name
			}) {
				in.Rebuild = append(in.Rebuild, name)
			}
		}
		return nil
	})
}

// converge plans, asks and carries out. prepare changes what is planned from; that is saved once the plan is confirmed.
func (c *Cloud) converge(ctx context.Context, s *stack.Stack, what string, o Options,
	prepare func(context.Context, *plan.Input) error) (*plan.Plan, error) {
	r, end, err := c.begin(s.Name, what, s)
	if err != nil {
		return nil, err
	}
	defer end()
	groups := groupsOf(s)
	r.stage.Of, r.atOnce = 5+len(groups), max(o.AtOnce, 1)
	var in plan.Input
	err = r.do(ctx, "check credentials and limits", func(ctx context.Context) (err error) {
		if in, err = c.survey(ctx, s, r.rec.Copy()); err != nil {
			return err
		}
		in.Rebuild = slices.Clone(o.Rebuild)
		if prepare != nil {
			if err := prepare(ctx, &in); err != nil {
				return err
			}
		}
		if r.plan, err = plan.Make(in); err != nil {
			return err
		}
		r.say("%s", r.plan.Summary())
		return errors.Join(c.sizes(ctx, r, s), c.checkImages(ctx, s, r.plan))
	})
	if err != nil {
		return nil, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(r.plan); err != nil {
			return r.plan, err
		}
	}
	if r.s, err = plan.Scaled(s, in.State.Scale); err != nil {
		return r.plan, err
	}
	r.rules, r.firewall = plan.Firewalls(r.s)
	r.steps = r.plan.Index()
	for _, v := range in.Have {
		r.know(v)
	}
	if err := r.declare(in.State); err != nil {
		return r.plan, err
	}
	return r.plan, r.carryOut(ctx, groups, in.Images)
}

// carryOut does what is planned, stage by stage.
func (r *run) carryOut(ctx context.Context, groups []string, images []provider.Resource) error {
	stages := []struct {
		title string
		work  func(context.Context) error
	}{
		{"build and upload images", func(ctx context.Context) error { return r.makeImages(ctx, images) }},
		{"key, network, firewall", r.makeShared},
		{"addresses and volumes", r.makeLasting},
	}
	for _, g := range groups {
		stages = append(stages, struct {
			title string
			work  func(context.Context) error
		}{groupTitle(g), func(ctx context.Context) error { return r.makeRole(ctx, g) }})
	}
	for _, v := range stages {
		if err := r.do(ctx, v.title, v.work); err != nil {
			return err
		}
	}
	return r.do(ctx, "remove what is left over", r.removeLeftover)
}

// groupsOf names the roles that get a stage, in order; the empty one is of servers without a role.
func groupsOf(s *stack.Stack) []string {
	var out []string
	for _, v := range s.Roles {
		out = append(out, v.Name)
	}
	if slices.ContainsFunc(s.Servers, func(v stack.Server) bool { return v.Role == "" }) {
		out = append(out, "")
	}
	return out
}

func groupTitle(role string) string {
	if role == "" {
		return "servers without a role"
	}
	return "role " + role
}

// declare keeps what was declared, and the private addresses, before anything is made.
func (r *run) declare(planned *state.State) error {
	return r.rec.Change(func(s *state.State) {
		s.Provider, s.Options, s.Admin, s.SSH = r.c.Provider.Features().Name, r.s.Options, r.s.Admin,
			plan.SSHPort(r.s.SSH)
		s.Parallel, s.Server, s.Call = r.settings.Parallel, int(r.settings.Server.Seconds()),
			int(r.settings.Call.Seconds())
		s.Scale, s.Images = planned.Scale, planned.Images
		s.Roles = nil
		for _, v := range r.s.Roles {
			s.Roles = append(s.Roles, state.Role{Name: v.Name, Min: v.Min, Max: v.Max})
		}
		if s.Servers == nil {
			s.Servers = make(map[string]*state.Server)
		}
		if s.Images == nil {
			s.Images = make(map[string]state.Image)
		}
		for _, v := range r.s.Servers {
			if s.Servers[v.Name] == nil {
				s.Servers[v.Name] = &state.Server{Phase: state.Reserved}
			}
			s.Servers[v.Name].Role, s.Servers[v.Name].Private = v.Role, r.plan.Addresses[v.Name]
		}
		for key, version := range r.plan.Versions {
			if _, pinned := s.Images[key]; !pinned {
				s.Images[key] = state.Image{Version: version}
			}
		}
	})
}
