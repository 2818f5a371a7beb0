package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/ec2/ec2fake"
)

func isTemporary(err error) bool { return errors.Is(err, provider.ErrTemporary) }

// life makes a stack with one of each, as build does, until ctx ends.
func life(ctx context.Context, p *ec2.Provider, image *provider.Image) error {
	prefix := netip.MustParsePrefix("10.77.0.0/24")
	w := &provider.Server{Stack: "demo", Name: "web-1", Size: "t3.small", UserData: []byte("#!/bin/sh\n"),
		Private: netip.MustParseAddr("10.77.0.11")}
	volume := ""
	for _, step := range []struct {
		want provider.Want
		id   *string
	}{
		{image, &w.Image}, {&provider.Key{Stack: "demo", Name: "admin", Public: key}, &w.Key},
		{&provider.Network{Stack: "demo", Name: "net", Prefix: prefix,
			DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}, &w.Network},
		{&provider.Firewall{Stack: "demo", Name: "web",
			Rules: []provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: prefix}}}, &w.Firewall},
		{&provider.Address{Stack: "demo", Name: "ip"}, &w.Address},
		{&provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30}, &volume},
	} {
		r, err := p.Ensure(ctx, step.want)
		if err != nil {
			return err
		}
		*step.id = r.ID
	}
	w.Volumes = []string{volume}
	for {
		r, err := p.Ensure(ctx, w)
		if err != nil || r.State == provider.Ready {
			return err
		}
	}
}

// census counts what is there, and fails for what nobody could tell is ours.
func census(t *testing.T, f *ec2fake.Fake) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for _, resource := range f.All() {
		n[resource.Type]++
		own := resource.About["name"] == "default" || resource.Type == "route-table" // come and go with their VPC
		if resource.Tags[provider.LabelKind] == "" && !own {
			t.Errorf("%s %s has no labels", resource.Type, resource.ID)
		}
	}
	return n
}

// TestKilled has the program die at each request that changes something, with the work done and the answer lost, and
// then at each with nothing done; and start anew.
func TestKilled(t *testing.T) {
	image, _ := disk(6, 0, 1, 4)
	whole := ec2fake.New()
	var changes []int
	whole.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		if !strings.HasPrefix(c.Action, "Describe") {
			changes = append(changes, c.N)
		}
		return nil
	}
	o := world(t, whole)
	o.Parallel = 1
	if err := life(t.Context(), open(t, o), image); err != nil {
		t.Fatal(err)
	}
	want := census(t, whole)
	if len(changes) < 20 {
		t.Fatalf("%d requests change something", len(changes))
	}
	for _, after := range []bool{true, false} {
		for _, n := range changes {
			if !after && n%3 != 0 {
				continue // little is told by these that the first half does not tell
			}
			f := ec2fake.New()
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			what := ""
			f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
				if c.N != n {
					return nil
				}
				what = c.Action
				if !after {
					kill()
				}
				return &ec2fake.Fault{Drop: true, After: after}
			}
			o := world(t, f)
			o.Parallel = 1
			first := open(t, o)
			err := life(ctx, first, image)
			if after && err != nil && !isTemporary(err) {
				t.Errorf("the answer to %s is lost: %v", what, err)
			}
			kill()
			census(t, f)
			p := open(t, o)
			if err := life(t.Context(), p, image); err != nil {
				t.Errorf("after dying at %s (done: %v): %v", what, after, err)
			}
			if got := census(t, f); !maps.Equal(got, want) {
				t.Errorf("after dying at %s (done: %v) there is %v, want %v", what, after, got, want)
			}
		}
	}
}

// TestRemoveKilled has the program die at each request that takes something away.
func TestRemoveKilled(t *testing.T) {
	image, _ := disk(2, 0)
	for n := 0; ; n++ {
		f := ec2fake.New()
		o := world(t, f)
		if err := life(t.Context(), open(t, o), image); err != nil {
			t.Fatal(err)
		}
		seen := 0
		var hit atomic.Bool
		f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
			if strings.HasPrefix(c.Action, "Describe") || hit.Load() {
				return nil
			}
			if seen++; seen <= n {
				return nil
			}
			hit.Store(true)
			return &ec2fake.Fault{Drop: true, After: true}
		}
		remove(t, open(t, o), "demo", "")
		for _, resource := range f.All() {
			if resource.State != "terminated" {
				t.Errorf("dying at request %d leaves %+v", n, resource)
			}
		}
		if !hit.Load() {
			return
		}
	}
}

func TestAnswers(t *testing.T) {
	wants := []provider.Want{&provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30},
		&provider.Address{Stack: "demo", Name: "ip"}}
	for _, c := range []struct {
		name  string
		fault ec2fake.Fault
		want  error
		after time.Duration
	}{
		{"unavailable", ec2fake.Fault{Status: 503, Code: "Unavailable"}, provider.ErrTemporary, 0},
		{"broken", ec2fake.Fault{Status: 500, Code: "InternalError"}, provider.ErrTemporary, 0},
		{"throttled", ec2fake.Fault{Status: 503, Code: "RequestLimitExceeded", RetryAfter: 7},
			provider.ErrTemporary, 7 * time.Second},
		{"throttled for a year", ec2fake.Fault{Status: 429, Code: "Throttling", RetryAfter: 31e6},
			provider.ErrTemporary, 5 * time.Minute},
		{"in transition", ec2fake.Fault{Status: 409, Code: "IncorrectState"}, provider.ErrTemporary, 0},
		{"no answer", ec2fake.Fault{Drop: true}, provider.ErrTemporary, 0},
		{"not allowed", ec2fake.Fault{Status: 403, Code: "UnauthorizedOperation"}, provider.ErrCredentials, 0},
		{"wrong key", ec2fake.Fault{Status: 401, Code: "AuthFailure"}, provider.ErrCredentials, 0},
		{"quota", ec2fake.Fault{Status: 400, Code: "VolumeLimitExceeded"}, provider.ErrQuota, 0},
		{"no room", ec2fake.Fault{Status: 400, Code: "InsufficientVolumeCapacity"}, provider.ErrQuota, 0},
		{"refused", ec2fake.Fault{Status: 400, Code: "InvalidParameterValue"}, provider.ErrInvalid, 0},
		{"unheard of", ec2fake.Fault{Status: 400, Code: "Teapot"}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := ec2fake.New()
			f.Fault = func(ec2fake.Call) *ec2fake.Fault { return &c.fault }
			p := open(t, world(t, f))
			check := func(what string, err error) {
				t.Helper()
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s = %v, want %v", what, err, c.want)
					return
				}
				for _, other := range []error{provider.ErrCredentials, provider.ErrQuota, provider.ErrTaken,
					provider.ErrNotFound, provider.ErrInvalid, provider.ErrTemporary} {
					if other != c.want && errors.Is(err, other) {
						t.Errorf("%s = %v, which is %v too", what, err, other)
					}
				}
				var r *provider.Retry
				if errors.As(err, &r) != (c.after > 0) || r != nil && r.After != c.after {
					t.Errorf("%s = %v, after %v, want %v", what, err, r, c.after)
				}
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the secret is in %v", err)
				}
			}
			for _, w := range wants {
				_, err := p.Ensure(t.Context(), w)
				check("Ensure", err)
			}
			_, err := p.List(t.Context(), "demo")
			check("List", err)
			_, err = p.List(t.Context(), "")
			check("List of images", err)
			_, err = p.Sizes(t.Context())
			check("Sizes", err)
			r := provider.Resource{Kind: provider.KindServer, Stack: "demo", Name: "web-1", ID: "i-1"}
			check("Remove", p.Remove(t.Context(), r))
			check("Control", p.Control(t.Context(), r, provider.Start))
			_, err = p.Console(t.Context(), r)
			check("Console", err)
		})
	}
}

func TestQuota(t *testing.T) {
	image, _ := disk(2, 0)
	for _, kind := range []string{"vpc", "internet-gateway", "elastic-ip", "volume", "instance"} {
		f := ec2fake.New()
		f.Quota = map[string]int{kind: 0}
		p := open(t, world(t, f))
		err := life(t.Context(), p, image)
		if !errors.Is(err, provider.ErrQuota) || isTemporary(err) {
			t.Errorf("without room for a %s: %v, want ErrQuota", kind, err)
		}
		census(t, f)
		remove(t, p, "demo", "")
		for _, resource := range f.All() {
			t.Errorf("without room for a %s, %+v is left", kind, resource)
		}
	}
}

func TestCredentials(t *testing.T) {
	image, _ := disk(2, 0)
	f := ec2fake.New()
	o := world(t, f)
	p := open(t, o)
	f.Expire(true)
	if err := life(t.Context(), p, image); !errors.Is(err, provider.ErrCredentials) {
		t.Errorf("with expired credentials: %v, want ErrCredentials", err)
	}
	f.Expire(false)
	f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		if c.Action == "PutSnapshotBlock" {
			f.Expire(true)
		}
		return nil
	}
	if err := life(t.Context(), p, image); !errors.Is(err, provider.ErrCredentials) {
		t.Errorf("with credentials that expire in an upload: %v, want ErrCredentials", err)
	}
	f.Expire(false)
	f.Fault = nil
	if err := life(t.Context(), p, image); err != nil {
		t.Errorf("with new credentials: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err := open(t, o).List(t.Context(), "demo")
	if !errors.Is(err, provider.ErrCredentials) {
		t.Errorf("without credentials: %v, want ErrCredentials", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	_, err = open(t, o).List(t.Context(), "demo")
	if !errors.Is(err, provider.ErrCredentials) || strings.Contains(err.Error(), secret) {
		t.Errorf("with others' credentials: %v, want ErrCredentials", err)
	}
}

// TestPeer has nobody answer, or somebody whose certificate is not trusted.
func TestPeer(t *testing.T) {
	o := world(t, ec2fake.New())
	o.CA = nil
	_, err := open(t, o).List(t.Context(), "demo")
	if err == nil || isTemporary(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with an unknown certificate: %v", err)
	}
	o.Endpoint = "https://127.0.0.1:1"
	if _, err := open(t, o).List(t.Context(), "demo"); !isTemporary(err) {
		t.Errorf("with nobody there: %v, want ErrTemporary", err)
	}
	f := ec2fake.New()
	f.Fault = func(ec2fake.Call) *ec2fake.Fault { return &ec2fake.Fault{Hang: true} }
	p := open(t, world(t, f))
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := p.List(ctx, "demo"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with no answer in time: %v, want context.DeadlineExceeded", err)
	}
}

func TestOptions(t *testing.T) {
	good := world(t, ec2fake.New())
	for _, c := range []struct {
		name   string
		change func(*ec2.Options)
		want   string
	}{
		{"not https", func(o *ec2.Options) { o.Endpoint = "http://127.0.0.1:1" }, "https"},
		{"password in the endpoint", func(o *ec2.Options) { o.Endpoint = "https://a:b@127.0.0.1:1" }, "https"},
		{"no certificate", func(o *ec2.Options) { o.CA = []byte("none") }, "PEM"},
		{"too parallel", func(o *ec2.Options) { o.Parallel = 65 }, "65"},
	} {
		o := good
		c.change(&o)
		if _, err := ec2.Open(t.Context(), o); !errors.Is(err, provider.ErrInvalid) ||
			!strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want ErrInvalid with %q", c.name, err, c.want)
		}
	}
	t.Setenv("AWS_REGION", "")
	if _, err := ec2.Open(t.Context(), good); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("without a region: %v, want ErrInvalid", err)
	}
}

// TestUnreachable has nothing listen at the endpoint: one call makes one connection, and the error names the
// endpoint and the region.
func TestUnreachable(t *testing.T) {
	o := world(t, ec2fake.New())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoint = "https://" + l.Addr().String()
	l.Close()
	p := open(t, o)
	for name, call := range map[string]func() error{
		"List":  func() error { _, err := p.List(t.Context(), "demo"); return err },
		"Sizes": func() error { _, err := p.Sizes(t.Context()); return err },
		"Ensure": func() error {
			_, err := p.Ensure(t.Context(), &provider.Key{Stack: "demo", Name: "admin",
				Public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"})
			return err
		},
	} {
		err := call()
		if !errors.Is(err, provider.ErrUnreachable) || !errors.Is(err, provider.ErrTemporary) ||
			!strings.Contains(err.Error(), "EC2 in region xx-test-1 at "+o.Endpoint) ||
			strings.Contains(err.Error(), "attempts") {
			t.Errorf("%s = %v", name, err)
		}
	}
}
