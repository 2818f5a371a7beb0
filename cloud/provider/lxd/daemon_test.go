//go:build cloud

package lxd_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/lxd"
	"griddle/cloud/provider/lxd/lxdtest"
	"griddle/cloud/provider/providertest"
)

// TestDaemon runs the suite on a real daemon.
func TestDaemon(t *testing.T) {
	d := lxdtest.Start(t, nil)
	roots := []*provider.Image{lxdtest.Root(t, 0), lxdtest.Root(t, 1)}
	providertest.Run(t, providertest.Options{
		Open:    func(t *testing.T) provider.Provider { return open(t, lxd.Config{Socket: d.Socket()}) },
		Image:   func(_ *testing.T, n int) *provider.Image { return roots[n] },
		Size:    "tiny",
		Apart:   true,
		Timeout: 2 * time.Minute,
		Poll:    200 * time.Millisecond,
		Rules: func(t *testing.T, r provider.Resource) []provider.Rule {
			return readRules(t, d.Lxc("query", "/1.0/network-acls/"+r.ID))
		},
		Foreign: func(t *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
			return strange(t, d, kind, stack, name)
		},
	})
}

// base makes a network, a firewall and an address, and returns a server that is wanted with them.
func base(t *testing.T, p *lxd.Provider, image *provider.Image, rules ...provider.Rule) provider.Server {
	t.Helper()
	w := provider.Server{Stack: "demo", Name: "web-1", Role: "web", Size: "tiny",
		Private: netip.MustParseAddr("10.77.0.11")}
	w.Image = ready(t, p, image).ID
	w.Network = ready(t, p,
		&provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24")}).ID
	w.Firewall = ready(t, p, &provider.Firewall{Stack: "demo", Name: "web", Rules: rules}).ID
	w.Address = ready(t, p, &provider.Address{Stack: "demo", Name: "ip"}).ID
	return w
}

func ready(t *testing.T, p *lxd.Provider, w provider.Want) provider.Resource {
	t.Helper()
	r, err := p.Ensure(t.Context(), w)
	if err != nil || r.State != provider.Ready {
		t.Fatalf("Ensure = %+v, %v", r, err)
	}
	return r
}

// TestPackets has packets come from outside, from LXD's computer, and from the stack's own network.
func TestPackets(t *testing.T) {
	d := lxdtest.Start(t, nil)
	p := open(t, lxd.Config{Socket: d.Socket()})
	all, one := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("203.0.113.2/32")
	w := base(t, p, lxdtest.Root(t, 0), provider.Rule{Protocol: "tcp", From: 22, To: 22, Source: one})
	r := ready(t, p, &w)
	other := w
	other.Name, other.Private, other.Address, other.Firewall = "web-2", netip.Addr{}, "", ""
	bare := ready(t, p, &other)
	if r.Public.String() != "192.0.2.16" || bare.Public != bare.Private {
		t.Errorf("the servers are reached at %v and %v", r.Public, bare.Public)
	}
	reach := func(from, to string, want bool) {
		t.Helper()
		// A server's sshd needs a moment; a refused packet is answered at once.
		for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			c, err := lxdtest.Dial(from, to, 3*time.Second)
			if err == nil {
				c.Close()
			}
			if (err == nil) == want {
				return
			}
			if !want || time.Now().After(end) {
				t.Errorf("from %s to %s: %v, want reached %v", from, to, err, want)
				return
			}
		}
	}
	inside := func(name, to string) bool {
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
			_, err := d.Try("exec", "demo--"+name, "--", "timeout", "5", "bash", "-c", "</dev/tcp/"+to+"/22")
			if err == nil || time.Now().After(end) {
				return err == nil
			}
		}
	}
	public, private := netip.AddrPortFrom(r.Public, 22).String(), netip.AddrPortFrom(r.Private, 22).String()
	reach(d.Outside(), public, true)
	reach(d.Namespace(), private, false) // not the source that the rule names
	reach(d.Namespace(), netip.AddrPortFrom(bare.Private, 22).String(), false)
	if !inside("web-2", r.Private.String()) || !inside("web-1", bare.Private.String()) {
		t.Error("servers of one network do not reach each other")
	}

	ready(t, p, &provider.Firewall{Stack: "demo", Name: "web",
		Rules: []provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: all}}})
	reach(d.Namespace(), private, true)
	reach(d.Outside(), public, true)
	ready(t, p, &provider.Firewall{Stack: "demo", Name: "web"})
	reach(d.Outside(), public, false)

	// Whoever gets the address of a server that is gone has none of its open ports.
	ready(t, p, &provider.Firewall{Stack: "demo", Name: "web",
		Rules: []provider.Rule{{Protocol: "tcp", From: 22, To: 22, Source: all}}})
	reach(d.Outside(), public, true)
	if err := p.Remove(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	next := w
	next.Name, next.Firewall, next.Address = "web-3", "", ""
	ready(t, p, &next)
	reach(d.Namespace(), private, false)
	reach(d.Outside(), public, false)
}

// TestHTTPS asks the daemon over TLS, with a certificate that it trusts and with one that it does not.
func TestHTTPS(t *testing.T) {
	d := lxdtest.Start(t, nil)
	url, server := d.Serve()
	for _, trusted := range []bool{false, true} {
		cert, key := lxdtest.Certificate(t)
		if trusted {
			name := filepath.Join(t.TempDir(), "client.crt")
			if err := os.WriteFile(name, cert, 0o600); err != nil {
				t.Fatal(err)
			}
			d.Lxc("config", "trust", "add", name)
		}
		p := open(t, lxd.Config{URL: url, Cert: cert, Key: key, Server: server})
		if !trusted {
			if _, err := p.List(t.Context(), "demo"); !errors.Is(err, provider.ErrCredentials) {
				t.Errorf("with a certificate that is not trusted List = %v, want ErrCredentials", err)
			}
			continue
		}
		w := base(t, p, lxdtest.Root(t, 0))
		r := ready(t, p, &w)
		if b, err := p.Console(t.Context(), r); err != nil {
			t.Errorf("Console = %q, %v", b, err)
		}
	}
}

// TestUserData has cloud-init in a container do what the user-data says.
func TestUserData(t *testing.T) {
	d := lxdtest.Start(t, nil)
	p := open(t, lxd.Config{Socket: d.Socket()})
	w := base(t, p, lxdtest.CloudRoot(t))
	w.Volumes = []string{ready(t, p, &provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30, Mount: "/data"}).ID}
	w.UserData = []byte(strings.Join([]string{
		"#cloud-config", "locale: C.UTF-8", "write_files:", "- path: /etc/role", `  content: "worker <&> '{{ x }}'"`,
		"runcmd:", "- [sh, -c, 'hostname > /data/ran']", "",
	}, "\n"))
	ready(t, p, &w)
	var status string
	for end := time.Now().Add(4 * time.Minute); !strings.Contains(status, "status: done") &&
		!strings.Contains(status, "status: error"); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("cloud-init is %s", status)
		}
		status, _ = d.Try("exec", "demo--web-1", "--", "sh", "-c", "cloud-init status --long; true")
	}
	t.Logf("cloud-init: %s", status)
	if !strings.Contains(status, "status: done") || !strings.Contains(status, "DataSourceNoCloud") {
		log, err := d.Try("exec", "demo--web-1", "--", "grep", "-iE", "warn|error|fail", "/var/log/cloud-init.log")
		t.Errorf("its log has %s %v", log, err)
	}
	for path, want := range map[string]string{"/etc/role": "worker <&> '{{ x }}'", "/data/ran": "web-1\n",
		"/etc/hostname": "web-1\n"} {
		if got, err := d.Try("exec", "demo--web-1", "--", "cat", path); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", path, got, err, want)
		}
	}
}

// TestNoInit has LXD start what has no init: the server failed, and can be removed and built anew.
func TestNoInit(t *testing.T) {
	d := lxdtest.Start(t, nil)
	p := open(t, lxd.Config{Socket: d.Socket()})
	w := base(t, p, providertest.Blank(provider.Tree, 0))
	r, err := p.Ensure(t.Context(), &w)
	if err != nil || r.State != provider.Failed || r.Reason == "" {
		t.Fatalf("Ensure = %+v, %v, want it failed", r, err)
	}
	t.Logf("the reason: %s", r.Reason)
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		err := p.Remove(t.Context(), r)
		if err == nil {
			break
		}
		if !errors.Is(err, provider.ErrTemporary) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	w.Image = ready(t, p, lxdtest.Root(t, 0)).ID
	if next := ready(t, p, &w); next.ID == r.ID {
		t.Errorf("built again it is still %s", next.ID)
	}
}

// strange makes somebody else's thing under the name that ours would have.
func strange(t *testing.T, d *lxdtest.Daemon, kind provider.Kind, stack, name string) (string, func() bool) {
	t.Helper()
	id := lxd.NameOf(kind, stack, name)
	var made, query string
	switch kind {
	case provider.KindNetwork:
		d.Lxc("network", "create", id, "ipv4.address=none", "ipv6.address=none")
		made, query = "network delete "+id, "/1.0/networks/"+id
	case provider.KindFirewall:
		d.Lxc("network", "acl", "create", id)
		made, query = "network acl delete "+id, "/1.0/network-acls/"+id
	case provider.KindVolume:
		d.Lxc("storage", "volume", "create", "test", id)
		made, query = "storage volume delete test "+id, "/1.0/storage-pools/test/volumes/custom/"+id
		id = "test/" + id
	case provider.KindServer:
		d.Lxc("init", "--empty", id, "--storage", "test")
		made, query = "delete "+id, "/1.0/instances/"+id
		var i struct{ Config map[string]string }
		if err := json.Unmarshal([]byte(d.Lxc("query", query)), &i); err != nil {
			t.Fatal(err)
		}
		id += "/" + i.Config["volatile.uuid"]
	default:
		return "", nil
	}
	before := d.Lxc("query", query)
	t.Cleanup(func() { d.Lxc(strings.Fields(made)...) })
	return id, func() bool { return d.Lxc("query", query) == before }
}
