package providertest

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"

	"griddle/cloud/provider"
)

func inUse(t *testing.T, s *suite) {
	k := s.stand(t, "use")
	w := k.full(t, "web-1")
	r := k.ready(t, w)
	for _, kind := range []provider.Kind{provider.KindNetwork, provider.KindVolume} {
		if s.lacks(kind) {
			continue
		}
		name := map[provider.Kind]string{provider.KindNetwork: "net", provider.KindVolume: "data"}[kind]
		if err := s.p.Remove(t.Context(), k.find(t, kind, name)); !errors.Is(err, provider.ErrTemporary) {
			t.Errorf("Remove of a %s that a server uses = %v, want ErrTemporary", kind, err)
		}
		k.find(t, kind, name)
	}
	if len(w.Volumes) > 0 {
		other := *w
		other.Name, other.Private, other.Address = "web-2", k.private(2), ""
		if _, err := s.p.Ensure(t.Context(), &other); err == nil {
			t.Error("a second server got the volume of the first")
		}
	}
	k.wait(t, r, provider.Ready)
}

func twoStacks(t *testing.T, s *suite) {
	a, b := s.stand(t, "a"), s.stand(t, "b")
	one, two := a.ready(t, a.full(t, "web-1")), b.ready(t, b.full(t, "web-1"))
	for _, k := range []*stand{a, b} {
		for _, r := range k.list(t, k.name) {
			if r.Stack != k.name {
				t.Errorf("stack %s lists %+v", k.name, r)
			}
		}
	}
	if one.ID == two.ID {
		t.Errorf("both stacks have server %s", one.ID)
	}
	before := b.list(t, b.name)
	a.sweep(t)
	if after := b.list(t, b.name); len(after) != len(before) {
		t.Errorf("one stack went, and the other lists %v, before %v", after, before)
	}
	b.wait(t, two, provider.Ready)
}

// runTogether has stacks and servers whose names give the same when they are joined.
func runTogether(t *testing.T, s *suite) {
	a, b := s.stand(t, "x"), s.stand(t, "x-y")
	one, two := a.ready(t, a.base(t, "y-z")), b.ready(t, b.base(t, "z"))
	if one.ID == two.ID {
		t.Errorf("server y-z of stack x and server z of stack x-y are both %s", one.ID)
	}
	if all := a.list(t, a.name); len(all) != len(b.list(t, b.name)) {
		t.Errorf("the stacks list %v and %v", all, b.list(t, b.name))
	}
	a.find(t, provider.KindServer, "y-z")
	b.find(t, provider.KindServer, "z")
}

func foreign(t *testing.T, s *suite) {
	if s.Foreign == nil {
		return
	}
	k := s.stand(t, "foreign")
	base := k.full(t, "other")
	server := *base
	server.Name = "web-1"
	network := k.network()
	network.Name = "web-1"
	for _, w := range []provider.Want{
		&provider.Key{Stack: k.name, Name: "web-1", Public: key}, network,
		&provider.Firewall{Stack: k.name, Name: "web-1"}, k.address("web-1"), k.volume("web-1"), &server,
	} {
		kind, stack, name := w.Identity()
		if s.lacks(kind) {
			continue
		}
		id, there := s.Foreign(t, kind, stack, name)
		if there == nil {
			continue
		}
		r, err := s.p.Ensure(t.Context(), w)
		if err == nil && r.ID == id {
			t.Errorf("Ensure of a %s took what is not ours", kind)
		}
		if err != nil && !errors.Is(err, provider.ErrTaken) {
			t.Errorf("Ensure of a %s whose name is taken = %v, want ErrTaken", kind, err)
		}
		for _, r := range k.list(t, k.name) {
			if r.ID == id && r.Kind == kind {
				t.Errorf("List has what is not ours: %+v", r)
			}
		}
		forged := provider.Resource{Kind: kind, Stack: stack, Name: name, ID: id}
		if err := s.p.Remove(t.Context(), forged); !errors.Is(err, provider.ErrTaken) {
			t.Errorf("Remove of a %s that is not ours = %v, want ErrTaken", kind, err)
		}
		if !there() {
			t.Errorf("another user's %s is gone", kind)
		}
	}
}

// forged has the IDs of one stack under the names of another.
func forged(t *testing.T, s *suite) {
	a, b := s.stand(t, "mine"), s.stand(t, "theirs")
	b.ready(t, b.full(t, "web-1"))
	before := b.list(t, b.name)
	for _, r := range before {
		r.Stack = a.name
		if err := s.p.Remove(t.Context(), r); !errors.Is(err, provider.ErrTaken) {
			t.Errorf("Remove of a %s by the name of another stack = %v, want ErrTaken", r.Kind, err)
		}
		if r.Kind == provider.KindServer {
			if err := s.p.Control(t.Context(), r, provider.Stop); !errors.Is(err, provider.ErrTaken) {
				t.Errorf("Control by the name of another stack = %v, want ErrTaken", err)
			}
		}
	}
	if after := b.list(t, b.name); len(after) != len(before) {
		t.Errorf("the other stack lists %v, before %v", after, before)
	}
}

func invalid(t *testing.T, s *suite) {
	k := s.stand(t, "invalid")
	base := k.base(t, "web-1")
	before := len(k.list(t, k.name))
	server := func(change func(*provider.Server)) provider.Want {
		w := *base
		change(&w)
		return &w
	}
	type bad struct {
		name string
		want provider.Want
	}
	all := []bad{
		{"no stack", server(func(w *provider.Server) { w.Stack = "" })},
		{"a name with a slash", server(func(w *provider.Server) { w.Name = "../web" })},
		{"a name with a dot", server(func(w *provider.Server) { w.Name = "web.1" })},
		{"no image", server(func(w *provider.Server) { w.Image = "" })},
		{"unknown size", server(func(w *provider.Server) { w.Size = "no-such-size" })},
		{"negative disk", server(func(w *provider.Server) { w.Disk = -1 })},
		{"much user-data",
			server(func(w *provider.Server) { w.UserData = bytes.Repeat([]byte("#"), s.p.Features().UserData+1) })},
		{"no key", &provider.Key{Stack: k.name, Name: "bad", Public: "ssh-ed25519 what"}},
		{"two keys", &provider.Key{Stack: k.name, Name: "bad", Public: key + "\n" + key}},
		{"no prefix", &provider.Network{Stack: k.name, Name: "bad"}},
		{"small prefix", &provider.Network{Stack: k.name, Name: "bad", Prefix: netip.MustParsePrefix("10.98.8.0/30")}},
		{"host bits", &provider.Network{Stack: k.name, Name: "bad", Prefix: netip.MustParsePrefix("10.98.8.1/24")}},
		{"IPv6 prefix", &provider.Network{Stack: k.name, Name: "bad", Prefix: netip.MustParsePrefix("fd00::/24")}},
		{"ports turned round", k.firewall(provider.Rule{Protocol: "tcp", From: 2, To: 1, Source: k.Prefix})},
		{"unknown protocol", k.firewall(provider.Rule{Protocol: "sctp", From: 1, To: 1, Source: k.Prefix})},
		{"no source", k.firewall(provider.Rule{Protocol: "tcp", From: 1, To: 1})},
		{"no size", &provider.Volume{Stack: k.name, Name: "bad"}},
		{"half a GiB", &provider.Volume{Stack: k.name, Name: "bad", Size: 1 << 29}},
		{"an address with a bad name", k.address("A b")},
	}
	if !s.lacks(provider.KindNetwork) {
		all = append(all, []bad{
			{"no network", server(func(w *provider.Server) { w.Network = "" })},
			{"address outside", server(func(w *provider.Server) { w.Private = netip.MustParseAddr("203.0.113.9") })},
			{"gateway's address", server(func(w *provider.Server) { w.Private = k.Prefix.Addr().Next() })},
		}...)
	}
	for _, c := range all {
		kind, _, _ := c.want.Identity()
		want := provider.ErrInvalid
		if s.lacks(kind) {
			want = provider.ErrUnsupported
		}
		if r, err := s.p.Ensure(t.Context(), c.want); !errors.Is(err, want) {
			t.Errorf("%s: Ensure = %+v, %v, want %v", c.name, r, err, want)
		}
	}
	i := s.imageWant(t, 0)
	i.Name, i.Digest = s.run+"-bad", "sha256:00"
	if _, err := s.p.Ensure(t.Context(), i); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("an image with a digest that is not one: %v, want ErrInvalid", err)
	}
	if after := k.list(t, k.name); len(after) != before {
		t.Errorf("what was refused left %v, want %d as before", after, before)
	}
}

func unknown(t *testing.T, s *suite) {
	k := s.stand(t, "unknown")
	base := k.base(t, "web-1")
	gone := *s.imageWant(t, 1)
	image := s.ready(t, &gone)
	s.remove(t, image)
	w := *base
	w.Image = image.ID
	if r, err := s.p.Ensure(t.Context(), &w); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("a server from an image that was deleted: %+v, %v, want ErrNotFound", r, err)
	}
	if !s.lacks(provider.KindVolume) {
		v := k.ready(t, k.volume("data"))
		k.remove(t, v)
		w := *base
		w.Volumes = []string{v.ID}
		if r, err := s.p.Ensure(t.Context(), &w); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("a server with a volume that was deleted: %+v, %v, want ErrNotFound", r, err)
		}
	}
	r := k.ready(t, base)
	k.remove(t, r)
	if err := s.p.Control(t.Context(), r, provider.Start); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("Control of a server that is gone = %v, want ErrNotFound", err)
	}
}

func cancelled(t *testing.T, s *suite) {
	k := s.stand(t, "cancelled")
	base := k.base(t, "web-1")
	before := k.list(t, k.name)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", what, err)
		}
	}
	_, err := s.p.List(ctx, k.name)
	check("List", err)
	_, err = s.p.Ensure(ctx, base)
	check("Ensure", err)
	if len(before) > 0 {
		check("Remove", s.p.Remove(ctx, before[0]))
	}
	if after := k.list(t, k.name); len(after) != len(before) {
		t.Errorf("cancelled calls left %v, before %v", after, before)
	}
}

// atOnce has several goroutines ask for the same, and for different things.
func atOnce(t *testing.T, s *suite) {
	k := s.stand(t, "once")
	w := k.full(t, "web-1")
	w2 := *w
	w2.Name, w2.Private, w2.Address, w2.Volumes = "web-2", k.private(2), "", nil
	var group sync.WaitGroup
	for n := range 6 {
		p := s.p
		if s.Processes && n%2 == 1 {
			p = s.Open(t)
		}
		for _, w := range []provider.Server{*w, w2} {
			group.Go(func() {
				err := s.retried(t, "Ensure", func(ctx context.Context) error {
					_, err := p.Ensure(ctx, &w)
					return err
				})
				if err != nil {
					t.Errorf("Ensure side by side: %v", err)
				}
			})
		}
	}
	group.Wait()
	for _, name := range []string{"web-1", "web-2"} {
		k.wait(t, k.find(t, provider.KindServer, name), provider.Ready)
	}
}

func reopened(t *testing.T, s *suite) {
	k := s.stand(t, "again")
	w := k.full(t, "web-1")
	r := k.ready(t, w)
	before := k.list(t, k.name)
	next := *s
	next.p = s.Open(t)
	kn := &stand{suite: &next, name: k.name}
	after := kn.list(t, k.name)
	if len(after) != len(before) {
		t.Errorf("opened again the stack lists %v, before %v", after, before)
	}
	if got := kn.ready(t, w); got.ID != r.ID || got.Want != w.Fingerprint() {
		t.Errorf("opened again the server is %+v, before %+v", got, r)
	}
	kn.sweep(t)
}
