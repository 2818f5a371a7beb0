package ec2_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/ec2/ec2fake"
)

// only is the one instance that lives.
func only(t *testing.T, f *ec2fake.Fake) ec2fake.Resource {
	t.Helper()
	all := f.Of("instance")
	if len(all) != 1 {
		t.Fatalf("%d instances live, want 1: %+v", len(all), all)
	}
	return all[0]
}

func TestServer(t *testing.T) {
	f := ec2fake.New()
	f.Steps = 1
	p := open(t, world(t, f))
	w := build(t, p)
	r := ensure(t, p, w)
	i := only(t, f)
	if i.About["tokens"] != "required" || i.About["disk"] != "8" || i.About["data"] != string(w.UserData) ||
		i.About["type"] != w.Size || i.Tags["griddle-role"] != "web" {
		t.Errorf("the instance is %+v", i)
	}
	if r.State != provider.Ready || r.Private != w.Private || r.Public.String() != "203.0.113.2" {
		t.Errorf("the server is %+v", r)
	}
	devices := make(map[string]string)
	for _, v := range f.Of("volume") {
		devices[v.About["device"]] = v.ID
		if v.About["encrypted"] != "true" {
			t.Errorf("%s is not encrypted", v.ID)
		}
	}
	if devices["/dev/sdf"] != w.Volumes[0] || devices["/dev/sdg"] != w.Volumes[1] || devices["/dev/xvda"] == "" {
		t.Errorf("its disks are %v, want %v in this order", devices, w.Volumes)
	}
	f.Print(i.ID, strings.Repeat("x", 1000)+strings.Repeat("y", 64<<10))
	b, err := p.Console(t.Context(), r)
	if err != nil || len(b) != 64<<10 || b[0] != 'y' {
		t.Errorf("the console has %d bytes, %v", len(b), err)
	}
	old := *w
	old.Name, old.Size, old.Private, old.Address, old.Volumes = "old-1", "t1.fake", netip.Addr{}, "", nil
	if b, err := p.Console(t.Context(), ensure(t, p, &old)); err != nil || len(b) != 0 {
		t.Errorf("the console of a size without Nitro: %q, %v", b, err)
	}
	for name, change := range map[string]func(*provider.Server){
		"kept address": func(w *provider.Server) { w.Private = netip.MustParseAddr("10.77.0.3") },
		"small disk":   func(w *provider.Server) { w.Disk = 1 },
		"many volumes": func(w *provider.Server) { w.Volumes = strings.Fields("a b c d e f g h i j k l") },
	} {
		other := *w
		other.Name, other.Address, other.Volumes, other.Private = "web-2", "", nil, netip.Addr{}
		change(&other)
		if name == "small disk" {
			big, _ := disk(4, 1)
			big.Virtual = 5 << 30
			other.Image = ensure(t, p, big).ID
		}
		if _, err := p.Ensure(t.Context(), &other); !errors.Is(err, provider.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	taken := *w
	taken.Name, taken.Address, taken.Volumes = "web-2", "", nil
	if _, err := p.Ensure(t.Context(), &taken); !errors.Is(err, provider.ErrTaken) {
		t.Errorf("another server's address: %v, want ErrTaken", err)
	}
}

// TestServerGone has a server deleted by hand, again and again: each new one is made once.
func TestServerGone(t *testing.T) {
	f := ec2fake.New()
	p := open(t, world(t, f))
	w := build(t, p)
	seen := make(map[string]bool)
	for range 4 {
		r := ensure(t, p, w)
		if again := ensure(t, p, w); again.ID != r.ID || seen[r.ID] {
			t.Errorf("ensured again it is %s, and was %s; before were %v", again.ID, r.ID, seen)
		}
		seen[r.ID] = true
		f.Delete(only(t, f).ID)
	}
	v := w.Volumes[1]
	f.Delete(v)
	if _, err := p.Ensure(t.Context(), w); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("with a volume that was deleted by hand: %v, want ErrNotFound", err)
	}
	if next := ensure(t, p, &provider.Volume{Stack: "demo", Name: "logs", Size: 1 << 30, Type: "st1"}); next.ID == v {
		t.Error("the volume that was deleted came back")
	}
}

// TestServerGivenUp has EC2 end an instance after it promised one.
func TestServerGivenUp(t *testing.T) {
	for _, c := range []struct {
		reason string
		want   error
	}{
		{"Client.VolumeLimitExceeded", provider.ErrQuota},
		{"Server.InsufficientInstanceCapacity", provider.ErrQuota},
		{"Server.InternalError", provider.ErrTemporary},
		{"Client.UserInitiatedShutdown", provider.ErrTemporary},
		{"Client.InvalidSnapshot.NotFound", nil},
	} {
		f := ec2fake.New()
		f.Steps = 3
		p := open(t, world(t, f))
		w := build(t, p)
		done := false
		f.Fault = func(call ec2fake.Call) *ec2fake.Fault {
			if all := f.Of("instance"); call.Action == "DescribeInstances" && len(all) > 0 && !done {
				done = true
				f.Terminate(all[0].ID, c.reason)
			}
			return nil
		}
		_, err := p.Ensure(t.Context(), w)
		if err == nil || !strings.Contains(err.Error(), c.reason) || c.want != nil && !errors.Is(err, c.want) ||
			c.want == nil && isTemporary(err) {
			t.Errorf("given up for %s: %v, want %v", c.reason, err, c.want)
		}
		ensure(t, p, w)
		only(t, f)
	}
}

// TestRulesFull replaces as many rules as a group can have.
func TestRulesFull(t *testing.T) {
	f := ec2fake.New()
	p := open(t, world(t, f))
	ensure(t, p, &provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24")})
	rules := func(from uint16) (all []provider.Rule) {
		for n := range uint16(provider.MaxRules) {
			all = append(all, provider.Rule{Protocol: "tcp", From: from + n, To: from + n,
				Source: netip.MustParsePrefix("192.0.2.0/24")})
		}
		return all
	}
	for _, from := range []uint16{1000, 2000, 2030} {
		r := ensure(t, p, &provider.Firewall{Stack: "demo", Name: "web", Rules: rules(from)})
		has := f.Rules(r.ID)
		if len(has) != provider.MaxRules {
			t.Errorf("it has %d rules", len(has))
		}
		for _, one := range has {
			if one.From < from || one.From >= from+provider.MaxRules {
				t.Errorf("it has %+v", one)
			}
		}
	}
	if _, err := p.Ensure(t.Context(),
		&provider.Firewall{Stack: "other", Name: "web"}); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("a firewall without a network: %v, want ErrInvalid", err)
	}
}

// TestNetworkRepaired has parts of a network deleted by hand.
func TestNetworkRepaired(t *testing.T) {
	f := ec2fake.New()
	p := open(t, world(t, f))
	w := &provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24")}
	r := ensure(t, p, w)
	for _, kind := range []string{"internet-gateway", "subnet", "security-group"} {
		for _, resource := range f.Of(kind) {
			if resource.About["name"] != "default" {
				f.Delete(resource.ID)
			}
		}
		before := census(t, f)[kind]
		if again := ensure(t, p, w); again.ID != r.ID || census(t, f)[kind] != before+1 {
			t.Errorf("without its %s: %+v", kind, again)
		}
	}
	f.Delete(r.ID)
	all, err := p.List(t.Context(), "demo")
	if err != nil || len(all) != 1 || all[0].State != provider.Failed {
		t.Errorf("what is left of a network without its VPC: %+v, %v", all, err)
	}
}

// TestWildcards has names that EC2 would take for patterns.
func TestWildcards(t *testing.T) {
	f := ec2fake.New()
	p := open(t, world(t, f))
	ensure(t, p, &provider.Address{Stack: "demo", Name: "ip"})
	for _, stack := range []string{"*", "d*", "dem?"} {
		if all, err := p.List(t.Context(), stack); err != nil || len(all) != 0 {
			t.Errorf("List(%q) = %v, %v", stack, all, err)
		}
	}
	for _, id := range []string{"*", "eipalloc-*", ""} {
		r := provider.Resource{Kind: provider.KindAddress, Stack: "demo", Name: "*", ID: id}
		if err := p.Remove(t.Context(), r); err == nil && len(f.Of("elastic-ip")) == 0 {
			t.Errorf("Remove of %q took an address", id)
		}
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		code   string
		status int
		want   error
	}{
		{"RequestLimitExceeded", 503, provider.ErrTemporary},
		{"VpcLimitExceeded", 400, provider.ErrQuota},
		{"VcpuLimitExceeded", 400, provider.ErrQuota},
		{"ConcurrentSnapshotLimitExceeded", 400, provider.ErrQuota},
		{"InvalidVolume.NotFound", 400, provider.ErrNotFound},
		{"InvalidGroup.Duplicate", 400, provider.ErrTaken},
		{"InvalidVpc.Range", 400, provider.ErrInvalid},
		{"IncorrectInstanceState", 400, provider.ErrTemporary},
		{"DependencyViolation", 400, provider.ErrTemporary},
		{"ExpiredTokenException", 403, provider.ErrCredentials},
		{"Whatever", 502, provider.ErrTemporary},
		{"Whatever", 429, provider.ErrTemporary},
		{"Whatever", 400, nil},
	} {
		if got := ec2.Classify(c.code, c.status); got != c.want {
			t.Errorf("classify(%s, %d) = %v, want %v", c.code, c.status, got, c.want)
		}
	}
}
