package lxd_test

import (
	"encoding/json"
	"net"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd"
	"griddle/cloud/provider/lxd/lxdtest"
	"griddle/cloud/provider/providertest"
)

// serve has a fake answer on a unix socket.
func serve(t *testing.T, f *lxdtest.Fake) lxd.Config {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "unix.socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return lxd.Config{Socket: socket}
}

func open(t *testing.T, c lxd.Config) *lxd.Provider {
	t.Helper()
	c.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.16/28")}
	c.ShutdownTimeout = 20 * time.Second
	p, err := lxd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestFake runs the suite on the fake, whose operations are done at once, and after some time.
func TestFake(t *testing.T) {
	for name, slow := range map[string]int{"quick": 0, "slow": 5} {
		t.Run(name, func(t *testing.T) {
			f := lxdtest.NewFake()
			f.Slow = slow
			c := serve(t, f)
			t.Cleanup(func() {
				if left := f.Paths(); len(left) != 1+4 {
					t.Errorf("left over: %v, want the pool and what is not ours", left)
				}
			})
			providertest.Run(t, providertest.Options{
				Open:  func(t *testing.T) provider.Provider { return open(t, c) },
				Apart: true,
				Rules: func(t *testing.T, r provider.Resource) []provider.Rule {
					return readRules(t, f.Get("/1.0/network-acls/"+r.ID))
				},
				Foreign: func(t *testing.T, k provider.Kind, stack, name string) (string, func() bool) {
					return put(f, k, stack, name)
				},
				Processes: true,
			})
		})
	}
}

// put makes somebody else's thing under the name that ours would have.
func put(f *lxdtest.Fake, kind provider.Kind, stack, name string) (string, func() bool) {
	id := lxd.NameOf(kind, stack, name)
	at := map[provider.Kind]string{
		provider.KindNetwork: "/1.0/networks/", provider.KindFirewall: "/1.0/network-acls/",
		provider.KindVolume: "/1.0/storage-pools/test/volumes/custom/", provider.KindServer: "/1.0/instances/",
	}[kind]
	if at == "" {
		return "", nil
	}
	at += id
	f.Put(at, map[string]any{"name": id, "config": map[string]any{"volatile.uuid": "other"}, "status_code": 103,
		"last_used_at": "2026-01-01T00:00:00Z"})
	before := f.Get(at)
	switch kind {
	case provider.KindVolume:
		id = "test/" + id
	case provider.KindServer:
		id += "/other"
	}
	return id, func() bool { return f.Get(at) == before }
}

// readRules reads the rules of a firewall with servers from LXD's ACL.
func readRules(t *testing.T, text string) []provider.Rule {
	t.Helper()
	var a struct {
		Ingress []map[string]string
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	var all []provider.Rule
	for _, l := range a.Ingress {
		if l["action"] != "allow" || l["destination"] == "" {
			t.Errorf("a rule is %v", l)
		}
		r := provider.Rule{Protocol: strings.TrimSuffix(l["protocol"], "4"), Source: netip.MustParsePrefix("0.0.0.0/0")}
		if l["source"] != "" {
			r.Source = netip.MustParsePrefix(l["source"])
		}
		if l["destination_port"] != "" {
			from, to, two := strings.Cut(l["destination_port"], "-")
			if !two {
				to = from
			}
			if err := json.Unmarshal([]byte("["+from+","+to+"]"), &[]any{&r.From, &r.To}); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, r)
	}
	return all
}
