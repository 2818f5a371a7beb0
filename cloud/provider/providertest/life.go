package providertest

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"griddle/cloud/provider"
)

func features(t *testing.T, s *suite) {
	f := s.p.Features()
	if f.Name == "" || f.UserData < 4096 ||
		!slices.Contains([]provider.Format{provider.Raw, provider.QCOW2, provider.Tree}, f.Format) {
		t.Errorf("Features = %+v", f)
	}
	for _, kind := range []provider.Kind{provider.KindImage, provider.KindServer} {
		if s.lacks(kind) {
			t.Errorf("it lacks %s: there is no stack without", kind)
		}
	}
	for kind, why := range f.Lacks {
		if why == "" || !slices.Contains(provider.Kinds(), kind) {
			t.Errorf("it lacks %q for the reason %q", kind, why)
		}
	}
	all, err := s.p.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range all {
		if size.Name == "" || size.CPUs < 1 || size.Memory < 64<<20 {
			t.Errorf("a size is %+v", size)
		}
	}
	if !slices.ContainsFunc(all, func(z provider.Size) bool { return z.Name == s.Size }) {
		t.Errorf("size %q is not listed", s.Size)
	}
}

func images(t *testing.T, s *suite) {
	w := s.imageWant(t, 0)
	a := s.image(t, 0)
	if a.Kind != provider.KindImage || a.Name != w.Name || a.Stack != "" || a.Digest != w.Digest ||
		a.Want != w.Fingerprint() || a.ID == "" {
		t.Errorf("image 0 is %+v", a)
	}
	// What is there already is not sent again.
	unread := *w
	unread.Open = func() (provider.Contents, error) {
		t.Error("an image that is there was opened")
		return w.Open()
	}
	if got := s.ensure(t, &unread); got.ID != a.ID {
		t.Errorf("ensured again it is %s, and was %s", got.ID, a.ID)
	}
	again := *w
	again.Name += "-again"
	if got := s.ensure(t, &again); got.ID != a.ID {
		t.Errorf("by another name the same bytes are %s, want %s", got.ID, a.ID)
	}
	if b := s.image(t, 1); b.ID == a.ID || b.Digest == a.Digest {
		t.Errorf("image 1 is %+v, image 0 %+v", b, a)
	}
	ours := 0
	for _, r := range s.list(t, "") {
		if r.Kind != provider.KindImage {
			t.Errorf("List without a stack has %+v", r)
		}
		if r.Digest == w.Digest {
			ours++
		}
	}
	if ours != 1 {
		t.Errorf("%d images have the digest, want 1", ours)
	}
	s.remove(t, a)
	if err := s.p.Remove(t.Context(), a); err != nil {
		t.Errorf("Remove of an image that is gone: %v", err)
	}
	if b := s.image(t, 0); b.Digest != w.Digest {
		t.Errorf("made again it is %+v", b)
	}
}

func nothing(t *testing.T, s *suite) {
	if all := s.list(t, s.run+"-nothing"); len(all) != 0 {
		t.Errorf("a stack that never was has %v", all)
	}
}

func everyKind(t *testing.T, s *suite) {
	k := s.stand(t, "every")
	w := k.full(t, "web-1")
	r := k.ready(t, w)
	if r.Kind != provider.KindServer || r.Name != "web-1" || r.Stack != k.name || r.Want != w.Fingerprint() ||
		r.Image != w.Image {
		t.Errorf("the server is %+v", r)
	}
	if !s.lacks(provider.KindNetwork) && r.Private != w.Private {
		t.Errorf("its address is %v, want %v", r.Private, w.Private)
	}
	if !r.Public.IsValid() && w.Address != "" {
		t.Error("it has no address by which it is reached")
	}
	wants := k.wants(w)
	before := k.list(t, k.name)
	if len(before) != len(wants) {
		t.Errorf("the stack lists %v, want %d", before, len(wants))
	}
	for _, want := range wants {
		kind, _, name := want.Identity()
		got := k.find(t, kind, name)
		if got.Want != want.Fingerprint() || got.ID == "" || got.Stack != k.name {
			t.Errorf("%s %s is %+v, want fingerprint %s", kind, name, got, want.Fingerprint())
		}
		if again := k.ensure(t, want); again.ID != got.ID {
			t.Errorf("%s %s ensured again is %s, and was %s", kind, name, again.ID, got.ID)
		}
	}
	if after := k.list(t, k.name); len(after) != len(before) {
		t.Errorf("ensured again the stack lists %v, want %d", after, len(before))
	}
	// What cannot be changed is left, and shows by its fingerprint.
	other := *w
	other.UserData = []byte("#cloud-config\n{}\n")
	if got := k.ensure(t, &other); got.ID != r.ID || got.Want != w.Fingerprint() {
		t.Errorf("with other user-data Ensure gave %+v, want the old one, with its fingerprint", got)
	}
	if c, ok := s.p.(provider.Consoler); ok {
		if _, err := c.Console(t.Context(), r); err != nil {
			t.Errorf("Console: %v", err)
		}
	}
	all := k.list(t, k.name)
	slices.Reverse(all)
	for _, r := range all {
		k.remove(t, r)
		if err := s.p.Remove(t.Context(), r); err != nil {
			t.Errorf("Remove of a %s that is gone: %v", r.Kind, err)
		}
	}
	if left := k.list(t, k.name); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	if err := s.p.Control(t.Context(), r, provider.Start); err == nil {
		t.Error("Control of a server that is gone gave no error")
	}
}

// wants is all of a stack with one server.
func (k *stand) wants(w *provider.Server) []provider.Want {
	var all []provider.Want
	for _, want := range []provider.Want{k.key(), k.network(), k.firewall(), k.address("ip"), k.volume("data"), w} {
		if kind, _, _ := want.Identity(); !k.lacks(kind) {
			all = append(all, want)
		}
	}
	return all
}

func control(t *testing.T, s *suite) {
	k := s.stand(t, "control")
	r := k.ready(t, k.base(t, "web-1"))
	do := func(a provider.Action, want provider.State) {
		t.Helper()
		for range 2 {
			if err := s.retried(t, string(a), func(ctx context.Context) error {
				return s.p.Control(ctx, r, a)
			}); err != nil {
				t.Fatalf("%s: %v", a, err)
			}
			got := k.wait(t, r, want)
			if got.Private != r.Private {
				t.Errorf("after %s its address is %v, and was %v", a, got.Private, r.Private)
			}
		}
	}
	do(provider.Start, provider.Ready)
	do(provider.Stop, provider.Stopped)
	w := k.base(t, "web-1")
	if got := k.ensure(t, w); got.State != provider.Stopped {
		t.Errorf("Ensure of a stopped server: it is %s", got.State)
	}
	do(provider.Start, provider.Ready)
	do(provider.Reboot, provider.Ready)
	do(provider.Stop, provider.Stopped)
	k.remove(t, r)
}

func rebuild(t *testing.T, s *suite) {
	k := s.stand(t, "rebuild")
	w := k.full(t, "web-1")
	old := k.ready(t, w)
	k.remove(t, old)
	for _, kind := range []provider.Kind{provider.KindAddress, provider.KindVolume} {
		if k.lacks(kind) {
			continue
		}
		name := map[provider.Kind]string{provider.KindAddress: "ip", provider.KindVolume: "data"}[kind]
		if r := k.find(t, kind, name); r.Bound != "" || r.State != provider.Ready {
			t.Errorf("the server is gone, and its %s is %+v", kind, r)
		}
	}
	next := *w
	next.Image = k.image(t, 1).ID
	if next.Fingerprint() == w.Fingerprint() {
		t.Error("another image has the same fingerprint")
	}
	r := k.ready(t, &next)
	if r.ID == old.ID || r.Image != next.Image || r.Want != next.Fingerprint() {
		t.Errorf("built again it is %+v, and was %+v", r, old)
	}
	if r.Private != old.Private || w.Address != "" && r.Public != old.Public {
		t.Errorf("its addresses are %v and %v, and were %v and %v", r.Private, r.Public, old.Private, old.Public)
	}
	if len(w.Volumes) > 0 {
		if v := k.find(t, provider.KindVolume, "data"); v.ID != w.Volumes[0] || v.Bound != r.ID {
			t.Errorf("its volume is %+v, want %s bound to %s", v, w.Volumes[0], r.ID)
		}
	}
}

func volumes(t *testing.T, s *suite) {
	if s.lacks(provider.KindVolume) {
		return
	}
	k := s.stand(t, "volumes")
	v := k.ready(t, k.volume("data"))
	if v.Size < 1<<30 || v.Bound != "" {
		t.Errorf("the volume is %+v", v)
	}
	big := k.volume("data")
	big.Size = 2 << 30
	k.ensure(t, big)
	if grown := k.wait(t, v, provider.Ready); grown.Size < 2<<30 || grown.ID != v.ID {
		t.Errorf("grown it is %+v", grown)
	}
	k.ensure(t, k.volume("data"))
	if kept := k.wait(t, v, provider.Ready); kept.Size < 2<<30 {
		t.Errorf("a smaller size was asked for, and it is %+v", kept)
	}

	// A server gets a second one, and loses the first.
	w := k.base(t, "web-1")
	w.Volumes = []string{v.ID}
	r := k.ready(t, w)
	more := k.ready(t, k.volume("more"))
	for _, c := range []struct {
		volumes   []string
		data, now string
	}{
		{[]string{v.ID, more.ID}, r.ID, r.ID},
		{[]string{more.ID}, "", r.ID},
		{nil, "", ""},
	} {
		w.Volumes = c.volumes
		if got := k.ensure(t, w); got.ID != r.ID {
			t.Fatalf("with volumes %v the server is %s, and was %s", c.volumes, got.ID, r.ID)
		}
		k.bound(t, provider.KindVolume, "data", c.data)
		k.bound(t, provider.KindVolume, "more", c.now)
	}
}

// bound waits until a volume or an address belongs to a server, or to none.
func (k *stand) bound(t *testing.T, kind provider.Kind, name, server string) {
	t.Helper()
	err := k.retried(t, "binding", func(context.Context) error {
		if r := k.find(t, kind, name); r.Bound != server {
			return provider.ErrTemporary
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s %s belongs to %q, want %q", kind, name, k.find(t, kind, name).Bound, server)
	}
}

func addresses(t *testing.T, s *suite) {
	if s.lacks(provider.KindAddress) {
		return
	}
	k := s.stand(t, "addresses")
	w := k.base(t, "web-1")
	a, b := k.ready(t, k.address("a")), k.ready(t, k.address("b"))
	if a.Public == b.Public || !a.Public.IsValid() {
		t.Errorf("two addresses are %v and %v", a.Public, b.Public)
	}
	for _, c := range []struct {
		id      string
		a, b    bool
		address netip.Addr
	}{
		{a.ID, true, false, a.Public},
		{b.ID, false, true, b.Public},
		{"", false, false, netip.Addr{}},
		{a.ID, true, false, a.Public},
	} {
		w.Address = c.id
		r := k.ready(t, w)
		owner := map[bool]string{true: r.ID}
		k.bound(t, provider.KindAddress, "a", owner[c.a])
		k.bound(t, provider.KindAddress, "b", owner[c.b])
		if got := k.find(t, provider.KindServer, "web-1"); c.id != "" && got.Public != c.address {
			t.Errorf("with address %s the server is reached at %v, want %v", c.id, got.Public, c.address)
		}
	}
}

func firewalls(t *testing.T, s *suite) {
	if s.lacks(provider.KindFirewall) {
		return
	}
	k := s.stand(t, "firewall")
	some := netip.MustParsePrefix("192.0.2.0/24")
	http := provider.Rule{Protocol: "tcp", From: 8080, To: 8080, Source: some}
	udp := provider.Rule{Protocol: "udp", From: 5000, To: 5003, Source: some}
	ping := provider.Rule{Protocol: "icmp", Source: some}
	w := k.base(t, "web-1")
	k.ready(t, w)
	for _, rules := range [][]provider.Rule{{http}, {http, udp, ping}, {ping}, {ping}, nil} {
		want := k.firewall(rules...)
		got := k.ready(t, want)
		if got.ID != w.Firewall || got.Want != want.Fingerprint() {
			t.Errorf("with rules %v it is %+v, want %s", rules, got, w.Firewall)
		}
		if s.Rules == nil {
			continue
		}
		has := s.Rules(t, got)
		if len(has) != len(want.Rules) {
			t.Errorf("it has rules %v, want %v", has, want.Rules)
		}
		for _, r := range want.Rules {
			if !slices.Contains(has, r) {
				t.Errorf("it has rules %v, want %v", has, want.Rules)
			}
		}
	}
	if got := k.ensure(t, w); got.State != provider.Ready {
		t.Errorf("the server is %s after its rules were changed", got.State)
	}
}
