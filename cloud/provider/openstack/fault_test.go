package openstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/provider/openstack/openstackfake"
	"griddle/cloud/provider/providertest"
)

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDZWs2WB8fJyFBKMs/9wxTKb0XgL1KG8PQO0aSQ7pC5M test"

// upTo makes what a stack has, in the order of its kinds, until one is wanted of the kind last, which is returned.
func upTo(t *testing.T, p *openstack.Provider, last provider.Kind) provider.Want {
	t.Helper()
	image := providertest.Blank(p.Features().Format, 0)
	server := &provider.Server{Stack: "demo", Name: "web-1", Role: "web", Size: "m1.small",
		Private: netip.MustParseAddr("10.5.0.20"), UserData: []byte("abcd")}
	for _, w := range []provider.Want{
		image,
		&provider.Key{Stack: "demo", Name: "admin", Public: publicKey},
		&provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.5.0.0/24"),
			DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}},
		&provider.Firewall{Stack: "demo", Name: "web", Rules: []provider.Rule{
			{Protocol: "tcp", From: 22, To: 22, Source: netip.MustParsePrefix("0.0.0.0/0")},
			{Protocol: "icmp", Source: netip.MustParsePrefix("::/0")}}},
		&provider.Address{Stack: "demo", Name: "ip"},
		&provider.Volume{Stack: "demo", Name: "data", Size: 1 << 30},
		server,
	} {
		kind, _, _ := w.Identity()
		if kind == last {
			return w
		}
		r, err := p.Ensure(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case provider.KindImage:
			server.Image = r.ID
		case provider.KindKey:
			server.Key = r.ID
		case provider.KindNetwork:
			server.Network = r.ID
		case provider.KindFirewall:
			server.Firewall = r.ID
		case provider.KindAddress:
			server.Address = r.ID
		case provider.KindVolume:
			server.Volumes = []string{r.ID}
		}
	}
	t.Fatalf("there is no kind %s", last)
	return nil
}

// TestFaults has each request of making each kind meet each fault once. What is asked for again is made, once, and
// the error before says that it can be asked for again.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]openstackfake.Fault{
		"409":                  {Status: 409, Body: `{"NeutronError": {"message": "busy"}}`},
		"429":                  {Status: 429, Header: map[string]string{"Retry-After": "7"}},
		"500":                  {Status: 500, Body: "<html>oops</html>"},
		"500 after it is done": {Status: 500, After: true},
		"dropped":              {Drop: true},
		"dropped when done":    {Drop: true, After: true},
	} {
		for _, kind := range provider.Kinds() {
			t.Run(fmt.Sprintf("%s %s", kind, name), func(t *testing.T) {
				for n := int64(0); ; n++ {
					if !meet(t, kind, n, fault) {
						return
					}
				}
			})
		}
	}
}

// meet has request n meet the fault; false where there was no such request.
func meet(t *testing.T, kind provider.Kind, n int64, fault openstackfake.Fault) bool {
	t.Helper()
	cloud := openstackfake.New()
	p := open(t, serve(t, cloud), openstack.Options{})
	w := upTo(t, p, kind)
	var count, met atomic.Int64
	var at atomic.Value
	cloud.Hook(func(r *http.Request) *openstackfake.Fault {
		if count.Add(1)-1 != n {
			return nil
		}
		met.Add(1)
		at.Store(r.Method + " " + r.URL.Path)
		return &fault
	})
	r, err := p.Ensure(t.Context(), w)
	if err != nil && !errors.Is(err, provider.ErrTemporary) {
		t.Errorf("request %d (%v): %v, want ErrTemporary", n, at.Load(), err)
	}
	var retry *provider.Retry
	if err != nil && fault.Status == 429 && (!errors.As(err, &retry) || retry.After != 7*time.Second) {
		t.Errorf("request %d (%v): %v, want to retry after 7 s", n, at.Load(), err)
	}
	for range 3 {
		if r, err = p.Ensure(t.Context(), w); err == nil && r.State == provider.Ready {
			break
		}
	}
	if err != nil || r.State != provider.Ready || r.Want != w.Fingerprint() {
		t.Errorf("request %d (%v): asked again it is %+v, %v", n, at.Load(), r, err)
	}
	once(t, cloud, fmt.Sprintf("request %d (%v)", n, at.Load()))
	return met.Load() > 0
}

// once says where something was made twice.
func once(t *testing.T, cloud *openstackfake.Cloud, when string) {
	t.Helper()
	for collection, most := range map[string]int{
		"networks": 2, "subnets": 1, "routers": 1, "ports": 2, "floatingips": 1, "security-groups": 1,
		"servers": 1, "keypairs": 1, "images": 1, "volumes": 1, "security-group-rules": 5,
	} {
		if rows := cloud.Rows(collection); len(rows) > most {
			t.Errorf("%s: there are %d %s, want at most %d: %v", when, len(rows), collection, most, rows)
		}
	}
}

func TestQuota(t *testing.T) {
	for kind, collection := range map[provider.Kind]string{
		provider.KindImage: "images", provider.KindKey: "keypairs", provider.KindFirewall: "security-groups",
		provider.KindAddress: "floatingips", provider.KindVolume: "volumes", provider.KindServer: "servers",
	} {
		cloud := openstackfake.New()
		p := open(t, serve(t, cloud), openstack.Options{})
		w := upTo(t, p, kind)
		cloud.Quota[collection] = 0
		if r, err := p.Ensure(t.Context(), w); !errors.Is(err, provider.ErrQuota) {
			t.Errorf("%s beyond the quota: %+v, %v, want ErrQuota", kind, r, err)
		}
	}
}

func TestSlow(t *testing.T) {
	cloud := openstackfake.New()
	p := open(t, serve(t, cloud), openstack.Options{})
	w := upTo(t, p, provider.KindServer)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	cloud.Hook(func(r *http.Request) *openstackfake.Fault {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/servers") {
			return nil
		}
		cancel()
		<-release
		return &openstackfake.Fault{Drop: true, After: true}
	})
	if _, err := p.Ensure(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("Ensure with a server that hangs = %v, want context.Canceled", err)
	}
	cloud.Hook(nil)
	// The server does it now, beside or after what is asked for again: the port can be had once.
	close(release)
	if r, err := p.Ensure(t.Context(), w); err != nil && !errors.Is(err, provider.ErrTemporary) {
		t.Errorf("asked again it is %+v, %v", r, err)
	}
	if r, err := p.Ensure(t.Context(), w); err != nil || r.State != provider.Ready {
		t.Errorf("asked again it is %+v, %v", r, err)
	}
	once(t, cloud, "after a request without an end")
}

func TestCredentials(t *testing.T) {
	cloud := openstackfake.New()
	url := serve(t, cloud)
	p := open(t, url, openstack.Options{})
	cloud.Expire()
	if _, err := p.List(t.Context(), "demo"); err != nil {
		t.Errorf("List with an expired token: %v", err)
	}
	// The token is refused, and no new one is given.
	cloud.Expire()
	cloud.Hook(func(r *http.Request) *openstackfake.Fault {
		if strings.HasSuffix(r.URL.Path, "/auth/tokens") {
			return &openstackfake.Fault{Status: 401}
		}
		return nil
	})
	if _, err := p.List(t.Context(), "demo"); !errors.Is(err, provider.ErrCredentials) {
		t.Errorf("List with credentials that were taken back = %v, want ErrCredentials", err)
	}
	cloud.Hook(nil)
	c, err := openstack.ReadCredentials(openstack.Source{Getenv: environment(url, "OS_PASSWORD=very-secret")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = openstack.New(t.Context(), openstack.Options{Credentials: c})
	if !errors.Is(err, provider.ErrCredentials) || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("New with a wrong password = %v, want ErrCredentials, and no password", err)
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "very-secret") {
		t.Errorf("credentials print as %s", s)
	}
	// Somebody who may log in, and not do that.
	cloud.Hook(func(*http.Request) *openstackfake.Fault {
		return &openstackfake.Fault{Status: 403,
			Body: `{"forbidden": {"message": "Policy doesn't allow it to be performed."}}`}
	})
	if _, err := p.Ensure(t.Context(),
		&provider.Key{Stack: "demo", Name: "k", Public: publicKey}); !errors.Is(err, provider.ErrCredentials) {
		t.Errorf("what is forbidden = %v, want ErrCredentials", err)
	}
}

func TestImageBytes(t *testing.T) {
	cloud := openstackfake.New()
	p := open(t, serve(t, cloud), openstack.Options{})
	cloud.Corrupt = true
	if _, err := p.Ensure(t.Context(), providertest.Blank(provider.QCOW2, 0)); !errors.Is(err, provider.ErrTemporary) ||
		len(cloud.Rows("images")) != 0 {
		t.Errorf("an image that arrived with other bytes: %v, and there is %v", err, cloud.Rows("images"))
	}
	cloud.Corrupt = false
	wrong := providertest.Blank(provider.QCOW2, 0)
	wrong.Digest = "sha256:" + strings.Repeat("0", 64)
	if _, err := p.Ensure(t.Context(), wrong); !errors.Is(err, provider.ErrInvalid) || len(cloud.Rows("images")) != 0 {
		t.Errorf("an image whose bytes are not its digest's: %v, and there is %v", err, cloud.Rows("images"))
	}
	short := providertest.Blank(provider.QCOW2, 0)
	short.Size++
	if _, err := p.Ensure(t.Context(), short); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("an image that ends too early: %v, want ErrInvalid", err)
	}
	// The image service may still be at the one before, whose end it has not seen.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := p.Ensure(ctx, providertest.Blank(provider.QCOW2, 0))
	for err == nil && r.State == provider.Pending || errors.Is(err, provider.ErrTemporary) {
		r, err = p.Ensure(ctx, providertest.Blank(provider.QCOW2, 0))
	}
	if err != nil || r.State != provider.Ready || len(cloud.Rows("images")) != 1 {
		t.Errorf("then it is %+v, %v", r, err)
	}
}

// TestServerRequest looks at what nova is asked for.
func TestServerRequest(t *testing.T) {
	cloud := openstackfake.New()
	p := open(t, serve(t, cloud), openstack.Options{Zone: "az1"})
	w := upTo(t, p, provider.KindServer).(*provider.Server)
	w.Disk = 30 << 30
	if _, err := p.Ensure(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	s := cloud.Rows("servers")[0]
	devices := fmt.Sprint(s["block_device_mapping_v2"])
	for _, c := range []struct{ name, got, want string }{
		// "abcd" is base64 already, and still to arrive as it is.
		{"user-data", fmt.Sprint(s["OS-EXT-SRV-ATTR:user_data"]), "abcd"},
		{"key", fmt.Sprint(s["key_name"]), "griddle_demo_admin"},
		{"zone", fmt.Sprint(s["availability_zone"]), "az1"},
		{"config drive", fmt.Sprint(s["config_drive"]), "true"},
		{"name", fmt.Sprint(s["name"]), "web-1"},
		{"flavor", fmt.Sprint(s["flavorRef"]), "2"},
		{"image", fmt.Sprint(s["imageRef"]), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.name, c.got, c.want)
		}
	}
	// The size's disk of 20 GiB is too small: the root is a volume, and goes with the server; the
	// data disk comes after it.
	root, data := strings.Index(devices, "volume_size:30"), strings.Index(devices, w.Volumes[0])
	if root < 0 || data < root || !strings.Contains(devices[:root], "delete_on_termination:true") {
		t.Errorf("the devices are %s", devices)
	}
	all, err := p.List(t.Context(), "demo")
	if err != nil || all[len(all)-1].Image != w.Image {
		t.Errorf("List = %+v, %v, want the server's image %s", all, err, w.Image)
	}
}

// TestUnreachable has nothing listen where keystone should: the error names it and the region.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	var o openstack.Options
	if o.Credentials, err = openstack.ReadCredentials(openstack.Source{Getenv: environment(url)}); err != nil {
		t.Fatal(err)
	}
	_, err = openstack.New(t.Context(), o)
	if want := fmt.Sprintf("opening OpenStack at %s/identity/v3, region %q", url,
		openstackfake.Region); !errors.Is(err, provider.ErrUnreachable) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("New = %v, want %s", err, want)
	}
}
