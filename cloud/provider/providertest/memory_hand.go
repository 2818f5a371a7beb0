package providertest

import (
	"context"
	"fmt"
	"slices"

	"griddle/cloud/provider"
)

// FailCall is a hook, for Memory's Before or After, that has the call of number n fail with err.
func FailCall(n int, err error) func(context.Context, Call) error {
	return func(_ context.Context, c Call) error {
		if c.N == n {
			return err
		}
		return nil
	}
}

// FailOn is a hook that has the first times calls for which match holds fail with err. It is not
// for calls side by side.
func FailOn(match func(Call) bool, times int, err error) func(context.Context, Call) error {
	return func(_ context.Context, c Call) error {
		if times > 0 && match(c) {
			times--
			return err
		}
		return nil
	}
}

// Status is the temporary error that answers of HTTP such as 409, 429, 500 and 503 become.
func Status(code int) error {
	return fmt.Errorf("the provider answered %d: %w", code, provider.ErrTemporary)
}

// Hang is a hook that has each call for which match holds wait until its context ends.
func Hang(match func(Call) bool) func(context.Context, Call) error {
	return func(ctx context.Context, c Call) error {
		if !match(c) {
			return nil
		}
		<-ctx.Done()
		return fmt.Errorf("waiting for the provider: %w", ctx.Err())
	}
}

// Calls returns what was called so far.
func (m *Memory) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Made is how often a resource of this identity was made: 1, unless it was removed in between.
func (m *Memory) Made(kind provider.Kind, stack, name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made[identity{kind, stack, name}]
}

// All returns all that is there, of every stack and of none, without it being a call.
func (m *Memory) All() []provider.Resource {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []provider.Resource
	for _, t := range m.resources {
		all = append(all, t.Resource)
	}
	return all
}

// Server returns what a server was made from, as last ensured; false where there is none.
func (m *Memory) Server(stack, name string) (provider.Server, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.find(provider.KindServer, stack, name)
	if t == nil {
		return provider.Server{}, false
	}
	return t.server, true
}

// Rules returns a firewall's rules.
func (m *Memory) Rules(stack, name string) []provider.Rule {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.find(provider.KindFirewall, stack, name); t != nil {
		return t.firewall.Rules
	}
	return nil
}

func (m *Memory) find(kind provider.Kind, stack, name string) *resource {
	for _, t := range m.resources {
		if t.Kind == kind && t.Stack == stack && t.Name == name {
			return t
		}
	}
	return nil
}

// hand changes a resource behind the caller's back; false where there is none.
func (m *Memory) hand(kind provider.Kind, stack, name string, do func(*resource)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.find(kind, stack, name)
	if t != nil {
		do(t)
	}
	return t != nil
}

// Delete deletes a resource by hand, and says whether it existed.
func (m *Memory) Delete(kind provider.Kind, stack, name string) bool {
	return m.hand(kind, stack, name, m.drop)
}

// Fail has the provider give a resource up.
func (m *Memory) Fail(kind provider.Kind, stack, name, reason string) bool {
	return m.hand(kind, stack, name, func(t *resource) {
		t.State, t.Reason, t.then = provider.Failed, reason, nil
	})
}

// PowerOff has a server's system shut itself down.
func (m *Memory) PowerOff(stack, name string) bool {
	return m.hand(provider.KindServer, stack, name, func(t *resource) { t.State, t.then = provider.Stopped, nil })
}

// Print has a server write to its serial console.
func (m *Memory) Print(stack, name, text string) bool {
	return m.hand(provider.KindServer, stack, name, func(t *resource) { t.console = append(t.console, text...) })
}

// LoseWant has the provider forget the fingerprint with which a resource was made.
func (m *Memory) LoseWant(kind provider.Kind, stack, name string) bool {
	return m.hand(kind, stack, name, func(t *resource) { t.Want = "" })
}

// Foreign makes a resource that has the name and not our labels, as another user would. It returns its ID.
func (m *Memory) Foreign(kind provider.Kind, stack, name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	id := fmt.Sprintf("%s-%d", kind, m.serial)
	m.resources = append(m.resources, &resource{foreign: true, Resource: provider.Resource{
		Kind: kind, Stack: stack, Name: name, ID: id, State: provider.Ready,
	}})
	return id
}
