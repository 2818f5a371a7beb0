package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// tries is how often a server that the provider gives up is made in one run.
const tries = 3

// makeRole brings the servers of a role up: first those that are missing or change in place, side by side; then, few at
// a time, those that are replaced, while the others serve.
func (r *run) makeRole(ctx context.Context, role string) error {
	var now, then []stack.Server
	first := ""
	for _, v := range r.s.Servers {
		if v.Role != role {
			continue
		}
		if first == "" {
			first = v.Name
		}
		switch r.steps[provider.KindServer.Named(v.Name)].Do {
		case plan.Create, plan.Change:
			now = append(now, v)
		case plan.Replace:
			if _, there := r.resource(provider.KindServer, v.Name); there {
				then = append(then, v)
			} else {
				now = append(now, v) // it went with its network
			}
		}
	}
	if err := each(ctx, r.settings.Parallel, false, now, r.makeServer); err != nil {
		return err
	}
	if err := each(ctx, r.atOnce, true, then, r.makeServer); err != nil {
		return err
	}
	return r.readOutputs(ctx, role, first)
}

// makeServer brings one server up, and makes it anew where the provider gives it up.
func (r *run) makeServer(ctx context.Context, v stack.Server) error {
	step := r.steps[provider.KindServer.Named(v.Name)]
	do := step.Do
	if do == plan.Replace {
		r.say("server %s is replaced: %s", v.Name, step.Why)
	}
	for try := 1; ; try++ {
		within, stop := context.WithTimeoutCause(ctx, r.settings.Server, retry.Late(r.settings.Server))
		err := r.makeServerOnce(within, v, do)
		stop()
		var failed *failure
		if errors.As(err, &failed) {
			r.showConsole(v.Name, failed.r)
		}
		if failed == nil || try == tries {
			switch {
			case failed != nil:
				return fmt.Errorf("%w: %d times", err, try)
			case err != nil:
				return fmt.Errorf("server %s: %w", v.Name, err)
			}
			return nil
		}
		r.say("server %s failed: %s; it is made again (%d of %d)", v.Name, failed.r.Reason, try+1, tries)
		do = plan.Replace
	}
}

func (r *run) makeServerOnce(ctx context.Context, v stack.Server, do plan.Do) error {
	old, there := r.resource(provider.KindServer, v.Name)
	if there && (do == plan.Replace || old.State == provider.Removing) {
		if err := r.remove(ctx, old); err != nil {
			return err
		}
		do = plan.Create
	}
	var w *provider.Server
	var err error
	if do == plan.Change {
		w, err = r.wantKept(v, old)
	} else {
		w, err = r.wantNew(v)
	}
	if err != nil {
		return err
	}
	if do != plan.Change {
		if err := r.freeAddress(ctx, v.Name, w.Private); err != nil {
			return err
		}
		r.say("server %s is made", v.Name)
	}
	got, err := r.ensure(ctx, w)
	if err != nil {
		return err
	}
	if do != plan.Change && got.Want != "" && got.Want != w.Fingerprint() {
		return errors.New("another program created it meanwhile, from something else")
	}
	if got, err = r.settled(ctx, w, got); err != nil {
		return err
	}
	err = r.rec.Change(func(s *state.State) {
		k := s.Servers[v.Name]
		k.Firewall = r.firewall[v.Name]
		if k.Origin == nil {
			k.Origin = r.madeFrom(got)
		}
	})
	if err != nil {
		return err
	}
	started := false
	if got.State == provider.Stopped {
		r.say("server %s is started", v.Name)
		if got, err = r.control(ctx, got, provider.Start); err != nil {
			return err
		}
		started = true
	}
	if r.rec.Server(v.Name).Phase == state.Booted {
		if started {
			return r.answers(ctx, v, got)
		}
		return nil
	}
	if err := r.firstBoot(ctx, v, got); err != nil {
		return err
	}
	return r.rec.Change(func(s *state.State) { s.Servers[v.Name].Phase = state.Booted })
}

// freeAddress removes the server that still has the address, where it is to be replaced or removed anyway. In its turn
// it is made with another.
func (r *run) freeAddress(ctx context.Context, name string, a netip.Addr) error {
	r.mu.Lock()
	var holder *provider.Resource
	for k, v := range r.found {
		if do := r.steps[k].Do; k.Kind == provider.KindServer && k.Name != name && v.Private == a &&
			(do == plan.Replace || do == plan.Remove) {
			holder = &v
		}
	}
	r.mu.Unlock()
	if holder == nil {
		return nil
	}
	r.say("server %s is removed: %s gets its address", holder.Name, name)
	return r.remove(ctx, *holder)
}

// madeFrom is what can be told of a server that somebody else made.
func (r *run) madeFrom(v provider.Resource) *state.Origin {
	return &state.Origin{Image: v.Image, Key: r.id(provider.KindKey, plan.KeyName),
		Network: r.id(provider.KindNetwork, plan.NetworkName), Want: v.Want}
}

// wantNew is a server as declared. What it is made from is kept before anybody is asked for it.
func (r *run) wantNew(v stack.Server) (*provider.Server, error) {
	data, err := r.c.Render(v, r.lookup(v))
	if err != nil {
		return nil, fmt.Errorf("its user-data: %w", err)
	}
	if most := r.c.Provider.Features().UserData; len(data) > most {
		return nil, fmt.Errorf("its user-data has %d bytes with all values, and the provider takes %d: %w", len(data),
			most, provider.ErrInvalid)
	}
	m := &state.Origin{Image: r.images[plan.ImageKey(v)], Key: r.id(provider.KindKey, plan.KeyName),
		Network: r.id(provider.KindNetwork, plan.NetworkName), At: time.Now().UTC()}
	if m.Image == "" {
		return nil, fmt.Errorf("its image %s does not exist: upgrade it to one that exists", v.Image)
	}
	w, err := r.want(v, m, data)
	if err != nil {
		return nil, err
	}
	m.Want = w.Fingerprint()
	if err := r.v.KeepUserData(v.Name, data); err != nil {
		return nil, err
	}
	spec := r.plan.Specs[v.Name]
	return w, r.rec.Change(func(s *state.State) {
		k := s.Servers[v.Name]
		k.Phase, k.Spec, k.Origin = state.Creating, &spec, m
	})
}

// wantKept is a server as it was made, with the addresses and volumes that are declared: what changes in place.
func (r *run) wantKept(v stack.Server, there provider.Resource) (*provider.Server, error) {
	m := r.rec.Server(v.Name).Origin
	if m == nil {
		m = r.madeFrom(there)
	}
	data, err := r.v.UserData(v.Name)
	if isMissing(err) {
		data, err = r.c.Render(v, r.lookup(v))
	}
	if err != nil {
		return nil, fmt.Errorf("its user-data: %w", err)
	}
	return r.want(v, m, data)
}

func (r *run) want(v stack.Server, m *state.Origin, data []byte) (*provider.Server, error) {
	w := &provider.Server{
		Stack: r.s.Name, Name: v.Name, Role: v.Role, Image: m.Image, Size: v.Size, Disk: v.Disk,
		Key: m.Key, Network: m.Network, Private: r.plan.Addresses[v.Name],
		Firewall: r.id(provider.KindFirewall, r.firewall[v.Name]), UserData: data,
		SSH: plan.SSHPort(r.s.SSH), UEFI: v.UEFI,
	}
	if v.Public {
		if w.Address = r.id(provider.KindAddress, v.Name); w.Address == "" {
			return nil, errors.New("its public address does not exist")
		}
	}
	for _, d := range v.Volumes {
		id := r.id(provider.KindVolume, plan.VolumeName(v.Name, d.Name))
		if id == "" {
			return nil, fmt.Errorf("its volume %s does not exist", d.Name)
		}
		w.Volumes = append(w.Volumes, id)
	}
	return w, nil
}

// control starts, stops or reboots a server, and waits until it is so.
func (r *run) control(ctx context.Context, v provider.Resource, a provider.Action) (provider.Resource, error) {
	err := r.call().Do(ctx, fmt.Sprintf("%s of server %s", a, v.Name), func(ctx context.Context) error {
		return r.c.Provider.Control(ctx, v, a)
	})
	if err != nil {
		return v, err
	}
	want := provider.Ready
	if a == provider.Stop {
		want = provider.Stopped
	}
	err = r.watch.Until(ctx, v.KindName(), func(got provider.Resource, there bool) (bool, error) {
		switch {
		case !there:
			return true, fmt.Errorf("it is gone: %w", provider.ErrNotFound)
		case got.State == provider.Failed:
			return true, &failure{got}
		}
		v = got
		return got.State == want, nil
	})
	if err == nil {
		r.know(v)
	}
	return v, err
}

// reach says how a server's ssh server is reached: at its public address, or through a server of the stack that has
// one.
func (r *run) reach(v string, at provider.Resource) Target {
	t := Target{Server: v, Address: at.Public}
	r.rec.View(func(s *state.State) { t.Stack, t.User, t.Port = s.Stack, s.Admin, s.SSH })
	if t.Port == 0 {
		t.Port = 22
	}
	if at.Public.IsValid() {
		if at.SSHPort != 0 {
			t.Port = at.SSHPort
		}
		return t
	}
	t.Address = at.Private
	r.mu.Lock()
	var over []provider.Resource
	for k, other := range r.found {
		if k.Kind == provider.KindServer && k.Name != v && other.Public.IsValid() && other.State == provider.Ready {
			over = append(over, other)
		}
	}
	r.mu.Unlock()
	if len(over) > 0 {
		slices.SortFunc(over, func(a, b provider.Resource) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
		via := r.reach(over[0].Name, over[0])
		t.Via = &via
	}
	return t
}
