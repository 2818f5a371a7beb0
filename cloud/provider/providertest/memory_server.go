package providertest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"griddle/cloud/provider"
)

// sizes are what Memory's servers can have.
func sizes() []provider.Size {
	return []provider.Size{{Name: "small", CPUs: 1, Memory: 1 << 30},
		{Name: "large", CPUs: 4, Memory: 8 << 30, Disk: 40 << 30}}
}

// Sizes implements provider.Provider.
func (m *Memory) Sizes(ctx context.Context) ([]provider.Size, error) {
	c, err := m.begin(ctx, Call{Op: "sizes"})
	if err != nil {
		return nil, err
	}
	return sizes(), m.end(ctx, c, nil)
}

func (m *Memory) changeServer(t *resource, w *provider.Server) error {
	fail := func(format string, a ...any) error {
		return fmt.Errorf("making server %q: %w", w.Name, fmt.Errorf(format, a...))
	}
	known := []struct {
		kind provider.Kind
		id   string
	}{{provider.KindImage, w.Image}, {provider.KindKey, w.Key}, {provider.KindNetwork, w.Network},
		{provider.KindFirewall, w.Firewall}, {provider.KindAddress, w.Address}}
	for _, id := range w.Volumes {
		known = append(known, struct {
			kind provider.Kind
			id   string
		}{provider.KindVolume, id})
	}
	for _, k := range known {
		if k.id == "" {
			continue
		}
		used := m.byID(k.kind, k.id)
		if used == nil || used.State == provider.Removing {
			return fail("%s %s: %w", k.kind, k.id, provider.ErrNotFound)
		}
		if used.Stack != w.Stack && k.kind != provider.KindImage {
			return fail("%s %s is of stack %q: %w", k.kind, k.id, used.Stack, provider.ErrInvalid)
		}
		if used.State == provider.Failed {
			return fail("%s %s failed: %w", k.kind, k.id, provider.ErrInvalid)
		}
		if used.State != provider.Ready {
			return fail("%s %s is %s: %w", k.kind, k.id, used.State, provider.ErrTemporary)
		}
		if used.Bound != "" && used.Bound != t.ID {
			return fail("%s %s belongs to %s: %w", k.kind, k.id, used.Bound, provider.ErrTemporary)
		}
	}
	if !slices.ContainsFunc(sizes(), func(s provider.Size) bool { return s.Name == w.Size }) {
		return fail("there is no size %q: %w", w.Size, provider.ErrInvalid)
	}
	network := m.byID(provider.KindNetwork, w.Network)
	if err := provider.CheckPrivate(network.network.Prefix, w.Private); err != nil {
		return fail("%w", err)
	}
	for _, other := range m.resources {
		if other != t && w.Private.IsValid() && other.server.Network == w.Network && other.Private == w.Private {
			return fail("%v belongs to %q: %w", w.Private, other.Name, provider.ErrTaken)
		}
	}
	t.server = *w
	t.server.Volumes, t.server.UserData = slices.Clone(w.Volumes), slices.Clone(w.UserData)
	if t.ID == "" {
		return nil
	}
	for _, v := range m.resources {
		if v.Kind == provider.KindVolume && v.Bound == t.ID && !slices.Contains(w.Volumes, v.ID) {
			v.Bound = ""
		}
	}
	for _, id := range w.Volumes {
		m.byID(provider.KindVolume, id).Bound = t.ID
	}
	m.bindAddress(t, w.Address)
	return nil
}

// bindAddress gives a server the public address id, or takes it away for the empty one.
func (m *Memory) bindAddress(t *resource, id string) {
	t.Public = netip.Addr{}
	for _, a := range m.resources {
		if a.Kind == provider.KindAddress && a.ID == id {
			a.Bound, t.Public = t.ID, a.Public
		} else if a.Kind == provider.KindAddress && a.Bound == t.ID {
			a.Bound = ""
		}
	}
}

// unbind frees what belongs to a server.
func (m *Memory) unbind(t *resource) {
	for _, other := range m.resources {
		if t.ID != "" && other.Bound == t.ID {
			other.Bound = ""
		}
	}
}

// free is the lowest address of a network that no server has.
func (m *Memory) free(n *resource) netip.Addr {
	used := make(map[netip.Addr]bool)
	for _, t := range m.resources {
		if t.server.Network == n.ID {
			used[t.Private] = true
		}
	}
	a := n.network.Prefix.Addr().Next().Next()
	for used[a] {
		a = a.Next()
	}
	return a
}

// Remove implements provider.Provider.
func (m *Memory) Remove(ctx context.Context, r provider.Resource) error {
	c, err := m.begin(ctx, Call{Op: "remove", Kind: r.Kind, Stack: r.Stack, Name: r.Name})
	if err != nil {
		return err
	}
	m.mu.Lock()
	err = m.remove(r)
	m.mu.Unlock()
	return m.end(ctx, c, err)
}

func (m *Memory) remove(r provider.Resource) error {
	t := m.byID(r.Kind, r.ID)
	if t == nil || t.State == provider.Removing {
		return nil
	}
	if t.foreign || t.Stack != r.Stack || t.Name != r.Name {
		return fmt.Errorf("removing %s %s: it does not have the labels of %q: %w", r.Kind, r.ID,
			r.Name, provider.ErrTaken)
	}
	for _, s := range m.resources {
		uses := s.server.Network == t.ID || s.server.Firewall == t.ID || t.Bound == s.ID
		if s.Kind == provider.KindServer && uses && t.Kind != provider.KindServer {
			return fmt.Errorf("removing %s %q: server %q uses it: %w", r.Kind, r.Name, s.Name, provider.ErrTemporary)
		}
	}
	m.later(t, provider.Removing, m.drop)
	return nil
}

// drop takes a resource away.
func (m *Memory) drop(t *resource) {
	t.gone = true
	m.unbind(t)
	m.resources = slices.DeleteFunc(m.resources, func(o *resource) bool { return o == t })
}

// Control implements provider.Provider.
func (m *Memory) Control(ctx context.Context, r provider.Resource, a provider.Action) error {
	c, err := m.begin(ctx, Call{Op: "control", Kind: r.Kind, Stack: r.Stack, Name: r.Name, Action: a})
	if err != nil {
		return err
	}
	m.mu.Lock()
	err = m.control(r, a)
	m.mu.Unlock()
	return m.end(ctx, c, err)
}

func (m *Memory) control(r provider.Resource, a provider.Action) error {
	t := m.byID(provider.KindServer, r.ID)
	if t == nil || t.State == provider.Removing {
		return fmt.Errorf("%s of server %s: %w", a, r.ID, provider.ErrNotFound)
	}
	if t.foreign || t.Stack != r.Stack || t.Name != r.Name {
		return fmt.Errorf("%s of server %s: it does not have the labels of %q: %w", a, r.ID, r.Name, provider.ErrTaken)
	}
	if t.State == provider.Failed {
		return fmt.Errorf("%s of server %q: it failed: %w", a, r.Name, provider.ErrInvalid)
	}
	switch a {
	case provider.Stop:
		if t.State != provider.Stopped {
			m.later(t, provider.Pending, become(provider.Stopped))
		}
	case provider.Start:
		if t.State == provider.Stopped {
			m.later(t, provider.Pending, become(provider.Ready))
		}
	case provider.Reboot:
		m.later(t, provider.Pending, become(provider.Ready))
	default:
		return fmt.Errorf("%q of server %q: %w", a, r.Name, provider.ErrInvalid)
	}
	return nil
}

// Console implements provider.Consoler.
func (m *Memory) Console(ctx context.Context, r provider.Resource) ([]byte, error) {
	c, err := m.begin(ctx, Call{Op: "console", Kind: r.Kind, Stack: r.Stack, Name: r.Name})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	t := m.byID(provider.KindServer, r.ID)
	var b []byte
	if t != nil {
		b = slices.Clone(t.console[max(0, len(t.console)-64<<10):])
	}
	m.mu.Unlock()
	if t == nil {
		return nil, fmt.Errorf("reading the console of %s: %w", r.ID, provider.ErrNotFound)
	}
	return b, m.end(ctx, c, nil)
}
