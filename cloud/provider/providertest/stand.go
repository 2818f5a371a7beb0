package providertest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
)

// key is a public key that nobody has the private part of.
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"

// stand is one stack of a test.
type stand struct {
	*suite
	name string
}

// stand begins a stack, which goes away with the test.
func (s *suite) stand(t *testing.T, name string) *stand {
	k := &stand{suite: s, name: s.run + "-" + name}
	if s.Apart {
		own := *s
		own.Prefix = after(s.Prefix, s.stands)
		s.stands++
		k.suite = &own
	}
	t.Cleanup(func() { k.sweep(t) })
	return k
}

// after is the nth network of a prefix's size that follows it.
func after(p netip.Prefix, n int) netip.Prefix {
	b := p.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n)<<(32-p.Bits()))
	return netip.PrefixFrom(netip.AddrFrom4(b), p.Bits())
}

// lacks says whether the provider has no notion of a kind.
func (s *suite) lacks(kind provider.Kind) bool {
	_, lacks := s.p.Features().Lacks[kind]
	return lacks
}

// fresh is a context that outlives the test, for taking things away.
func (s *suite) fresh() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.Timeout)
}

// sweep takes the stack away, and says where that cannot be done.
func (k *stand) sweep(t *testing.T) {
	t.Helper()
	ctx, stop := k.fresh()
	defer stop()
	for {
		all, err := k.p.List(ctx, k.name)
		if err == nil && len(all) == 0 {
			return
		}
		slices.Reverse(all)
		for _, r := range all {
			if err2 := k.p.Remove(ctx, r); err2 != nil {
				err = cmp.Or(err, err2)
			}
		}
		select {
		case <-time.After(k.Poll):
		case <-ctx.Done():
			t.Errorf("stack %s is still there after %v: %v, %v", k.name, k.Timeout, all, err)
			return
		}
	}
}

// sweepImages takes away the images of this run.
func (s *suite) sweepImages(t *testing.T) {
	ctx, stop := s.fresh()
	defer stop()
	all, err := s.p.List(ctx, "")
	if err != nil {
		t.Errorf("listing images: %v", err)
	}
	for _, r := range all {
		if strings.HasPrefix(r.Name, s.run) {
			if err := s.p.Remove(ctx, r); err != nil {
				t.Errorf("removing image %s: %v", r.Name, err)
			}
		}
	}
}

// image is image n of the suite, ready.
func (s *suite) image(t *testing.T, n int) provider.Resource {
	t.Helper()
	return s.ready(t, s.imageWant(t, n))
}

func (s *suite) imageWant(t *testing.T, n int) *provider.Image {
	i := *s.Image(t, n)
	i.Name = fmt.Sprintf("%s-%d", s.run, n)
	return &i
}

// ensure makes w.
func (s *suite) ensure(t *testing.T, w provider.Want) provider.Resource {
	t.Helper()
	kind, stack, name := w.Identity()
	what := fmt.Sprintf("Ensure of %s %s/%s", kind, stack, name)
	var r provider.Resource
	err := s.retried(t, what, func(ctx context.Context) (err error) {
		r, err = s.p.Ensure(ctx, w)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return r
}

// ready makes w and waits until it can be used.
func (s *suite) ready(t *testing.T, w provider.Want) provider.Resource {
	t.Helper()
	return s.wait(t, s.ensure(t, w), provider.Ready)
}

// wait looks until r is in a state.
func (s *suite) wait(t *testing.T, r provider.Resource, state provider.State) provider.Resource {
	t.Helper()
	last := r
	for end := time.Now().Add(s.Timeout); ; time.Sleep(s.Poll) {
		for _, got := range s.list(t, r.Stack) {
			if got.Kind == r.Kind && got.ID == r.ID {
				last = got
			}
		}
		if last.State == state {
			return last
		}
		if last.State == provider.Failed || time.Now().After(end) {
			t.Fatalf("%s %s/%s is %s (%s), want %s", r.Kind, r.Stack, r.Name, last.State, last.Reason, state)
		}
	}
}

// remove takes r away and waits until it is gone.
func (s *suite) remove(t *testing.T, r provider.Resource) {
	t.Helper()
	err := s.retried(t, "Remove", func(ctx context.Context) error { return s.p.Remove(ctx, r) })
	if err != nil {
		t.Fatalf("Remove of %s %s: %v", r.Kind, r.Name, err)
	}
	for end := time.Now().Add(s.Timeout); ; time.Sleep(s.Poll) {
		there := slices.ContainsFunc(s.list(t, r.Stack), func(o provider.Resource) bool {
			return o.Kind == r.Kind && o.ID == r.ID
		})
		if !there {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s %s/%s is still there after %v", r.Kind, r.Stack, r.Name, s.Timeout)
		}
	}
}

// list lists a stack, in order.
func (s *suite) list(t *testing.T, stack string) []provider.Resource {
	t.Helper()
	var all []provider.Resource
	err := s.retried(t, "List", func(ctx context.Context) (err error) {
		all, err = s.p.List(ctx, stack)
		return err
	})
	if err != nil {
		t.Fatalf("List(%q): %v", stack, err)
	}
	kinds := provider.Kinds()
	if !slices.IsSortedFunc(all, func(a, b provider.Resource) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(a.Name, b.Name))
	}) {
		t.Errorf("List(%q) is not in the order of kinds and names: %v", stack, all)
	}
	return all
}

// find is the resource of a stack with a kind and a name.
func (k *stand) find(t *testing.T, kind provider.Kind, name string) provider.Resource {
	t.Helper()
	var found []provider.Resource
	for _, r := range k.list(t, k.name) {
		if r.Kind == kind && r.Name == name {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("stack %s lists %d of %s %s, want 1", k.name, len(found), kind, name)
	}
	return found[0]
}

// What a stack has, as wanted.

func (k *stand) key() *provider.Key { return &provider.Key{Stack: k.name, Name: "admin", Public: key} }

func (k *stand) network() *provider.Network {
	return &provider.Network{Stack: k.name, Name: "net", Prefix: k.Prefix, External: k.Network}
}

func (k *stand) firewall(rules ...provider.Rule) *provider.Firewall {
	all := netip.MustParsePrefix("0.0.0.0/0")
	rules = append([]provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: all}}, rules...)
	return &provider.Firewall{Stack: k.name, Name: "web", Rules: rules}
}

func (k *stand) address(name string) *provider.Address {
	return &provider.Address{Stack: k.name, Name: name, External: k.Network}
}

func (k *stand) volume(name string) *provider.Volume {
	return &provider.Volume{Stack: k.name, Name: name, Size: 1 << 30}
}

// private is the nth address that servers of the network can have.
func (s *suite) private(n int) netip.Addr {
	a := s.Prefix.Addr().Next()
	for range n + 10 {
		a = a.Next()
	}
	return a
}

// base makes what each server needs, and returns one that is wanted.
func (k *stand) base(t *testing.T, name string) *provider.Server {
	t.Helper()
	w := &provider.Server{
		Stack: k.name, Name: name, Role: "web", Size: k.Size, Private: k.private(1),
		UserData: []byte("#cloud-config\nhostname: " + name + "\n"),
	}
	w.Image = k.image(t, 0).ID
	if !k.lacks(provider.KindKey) {
		w.Key = k.ready(t, k.key()).ID
	}
	if !k.lacks(provider.KindNetwork) {
		w.Network = k.ready(t, k.network()).ID
	}
	if !k.lacks(provider.KindFirewall) {
		w.Firewall = k.ready(t, k.firewall()).ID
	}
	return w
}

// full makes all that a server can have, and returns one that is wanted.
func (k *stand) full(t *testing.T, name string) *provider.Server {
	t.Helper()
	w := k.base(t, name)
	if !k.lacks(provider.KindAddress) {
		w.Address = k.ready(t, k.address("ip")).ID
	}
	if !k.lacks(provider.KindVolume) {
		w.Volumes = []string{k.ready(t, k.volume("data")).ID}
	}
	return w
}
