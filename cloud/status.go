package cloud

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/state"
)

// Status is what a stack is now.
type Status struct {
	Stack    string              `json:"stack"`
	Provider string              `json:"provider"`
	Holder   *state.Holder       `json:"holder,omitempty"` // who works with it now
	Servers  []ServerStatus      `json:"servers"`          // in the order of roles
	Others   []provider.Resource `json:"others,omitempty"` // everything else with the stack's labels
}

// ServerStatus is one server.
type ServerStatus struct {
	Name    string         `json:"name"`
	Role    string         `json:"role,omitempty"`
	State   provider.State `json:"state"` // Missing and NotMade besides the provider's own
	Phase   state.Phase    `json:"phase,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Image   string         `json:"image,omitempty"` // version
	Private netip.Addr     `json:"private,omitzero"`
	Public  netip.Addr     `json:"public,omitzero"`
	ID      string         `json:"id,omitempty"`

	SSHPort  uint16             `json:"sshPort,omitempty"`  // at Public, where it is not the server's own
	Forwards []provider.Forward `json:"forwards,omitempty"` // the other ports that are at Public under another number
}

// States of servers that the provider does not list.
const (
	Missing provider.State = "missing" // it was made, and is gone
	// it has a private address and perhaps volumes: Delete kept them, or Up did not come so far
	NotMade provider.State = "not made"
)

// Status looks at a stack. One that has no state here is known by its labels alone.
func (c *Cloud) Status(ctx context.Context, name string) (*Status, error) {
	st, have, err := c.inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &Status{Stack: name, Provider: c.Provider.Features().Name}
	if d, err := c.State.Directory(name); err == nil {
		if h, held := d.Holder(); held {
			out.Holder = &h
		}
	}
	known := make(map[string]bool)
	for _, r := range have {
		if r.Kind != provider.KindServer {
			out.Others = append(out.Others, r)
			continue
		}
		known[r.Name] = true
		v := ServerStatus{Name: r.Name, State: r.State, Reason: r.Reason, Private: r.Private, Public: r.Public,
			ID: r.ID, SSHPort: r.SSHPort, Forwards: r.Forwards}
		if k := st.Servers[r.Name]; k != nil {
			v.Role, v.Phase = k.Role, k.Phase
			if k.Spec != nil {
				v.Image = k.Spec.Image
			}
		}
		out.Servers = append(out.Servers, v)
	}
	for _, n := range slices.Sorted(maps.Keys(st.Servers)) {
		if k := st.Servers[n]; !known[n] {
			gone := Missing
			if k.Phase == state.Reserved {
				gone = NotMade
			}
			out.Servers = append(out.Servers,
				ServerStatus{Name: n, Role: k.Role, State: gone, Phase: k.Phase, Private: k.Private})
		}
	}
	order(st, out.Servers, func(v ServerStatus) (string, string) { return v.Role, v.Name })
	return out, nil
}

// inspect reads a stack's state and lists what it has; an error says that there is neither.
func (c *Cloud) inspect(ctx context.Context, name string) (*state.State, []provider.Resource, error) {
	st, err := c.stateOrNew(name)
	if err != nil {
		return nil, nil, fmt.Errorf("stack %s: %w", name, err)
	}
	if f := c.Provider.Features().Name; st.Provider != "" && st.Provider != f {
		return nil, nil, fmt.Errorf("stack %s is on %s and not on %s", name, st.Provider, f)
	}
	r := retry.Policy{Limit: withDefaults(st.Settings()).Call, Jitter: c.Jitter, Log: discard(),
		First: true, Tell: c.tell}
	var have []provider.Resource
	err = r.Do(ctx, "looking at stack "+name, func(ctx context.Context) (err error) {
		have, err = c.Provider.List(ctx, name)
		return err
	})
	if err == nil && len(have) == 0 && st.Provider == "" {
		err = fmt.Errorf("stack %s is not known here or at the provider: %w", name, provider.ErrNotFound)
	}
	return st, have, err
}

// order sorts by roles, as they are brought up, then by number.
func order[T any](s *state.State, all []T, of func(T) (role, name string)) {
	rank := make(map[string]int, len(s.Roles))
	for i, v := range s.Roles {
		rank[v.Name] = i
	}
	place := func(role string) int {
		if i, ok := rank[role]; ok {
			return i
		}
		return len(rank)
	}
	slices.SortStableFunc(all, func(a, b T) int {
		roleA, nameA := of(a)
		roleB, nameB := of(b)
		if d := place(roleA) - place(roleB); d != 0 {
			return d
		}
		if d := len(nameA) - len(nameB); d != 0 { // web-2 before web-10
			return d
		}
		if nameA < nameB {
			return -1
		}
		return 1
	})
}

// Targets says how servers are logged in to, in the order of roles: those that pick names that the provider runs now.
func (c *Cloud) Targets(ctx context.Context, name string, p Pick) ([]Target, error) {
	st, have, err := c.inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	r := &run{c: c, rec: state.NewRecord(state.Directory{}, st), found: make(map[provider.KindName]provider.Resource)}
	for _, v := range have {
		r.know(v)
	}
	picked, err := p.from(st, have)
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", name, err)
	}
	var out []Target
	for _, v := range picked {
		if v.State != provider.Ready {
			return nil, fmt.Errorf("stack %s: server %s is %s", name, v.Name, v.State)
		}
		out = append(out, r.reach(v.Name, v))
	}
	return out, nil
}
