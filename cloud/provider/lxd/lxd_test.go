package lxd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"
)

func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		code int
		text string
		want error
	}{
		{400, "Failed creating instance record: Add instance info to the database: " +
			"This \"instances\" entry already exists", provider.ErrTaken},
		{400, "The network already exists", provider.ErrTaken},
		{500, `Failed creating forward: Forward listen address "192.0.2.10/32" overlaps with another network or NIC`,
			provider.ErrTaken},
		{400, "Image not provided for instance creation", provider.ErrNotFound},
		{404, "Network not found", provider.ErrNotFound},
		{500, "open : no such file or directory", provider.ErrNotFound},
		{500, "open /var/lib/lxd/x: no such file or directory", provider.ErrTemporary},
		{400, "The network is currently in use", provider.ErrTemporary},
		{500, "Cannot delete an ACL that is in use", provider.ErrTemporary},
		{400, "Instance is busy running a stop operation", provider.ErrTemporary},
		{500, "write /var/lib/lxd/images/x: no space left on device", provider.ErrQuota},
		{400, `Failed creating instance: Reached maximum number of instances of type "container" in project "small"`,
			provider.ErrQuota},
		{403, "not authorized", provider.ErrCredentials},
		{401, "", provider.ErrCredentials},
		{429, "", provider.ErrTemporary},
		{409, "", provider.ErrTemporary},
		{502, "", provider.ErrTemporary},
		{400, "Invalid devices: Device validation failed", provider.ErrInvalid},
	} {
		if err := meaning(c.code, c.text); !errors.Is(err, c.want) {
			t.Errorf("meaning(%d, %q) = %v, want %v", c.code, c.text, err, c.want)
		}
	}
	res := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}}
	var r *provider.Retry
	if err := refusal(res, "slow down"); !errors.As(err, &r) || r.After != 7*time.Second ||
		!errors.Is(err, provider.ErrTemporary) {
		t.Errorf("refusal = %v", err)
	}
	if err := meaning(400, strings.Repeat("x", 10000)); len(err.Error()) > 600 {
		t.Errorf("an error has %d bytes", len(err.Error()))
	}
}

func TestJoined(t *testing.T) {
	seen := make(map[string][2]string)
	long := strings.Repeat("s", 30)
	for _, stack := range []string{"a", "a-b", "a--b", "1a", "g-1a", "b", long} {
		for _, name := range []string{"c", "b-c", "b--c", "c.d", "c-d", "1", strings.Repeat("n", 63),
			strings.Repeat("n", 94), "web-" + strings.Repeat("1", 40)} {
			got := joined(stack, name)
			if old, twice := seen[got]; twice {
				t.Errorf("%s/%s and %v are both %s", stack, name, old, got)
			}
			seen[got] = [2]string{stack, name}
			if len(got) > 63 || strings.ContainsAny(got, "._/") || got[0] < 'a' || strings.HasSuffix(got, "-") {
				t.Errorf("joined(%q, %q) = %q, which LXD does not take", stack, name, got)
			}
			if b := bridge(stack, name); len(b) != 15 {
				t.Errorf("bridge(%q, %q) = %q", stack, name, b)
			}
		}
	}
	if got := joined("demo", "web-1"); got != "demo--web-1" {
		t.Errorf("joined = %q", got)
	}
}

func TestIngress(t *testing.T) {
	servers := []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")}
	const to = "10.0.0.5,10.0.0.6"
	for _, c := range []struct {
		name, rules string
		servers     []netip.Addr
		want        []aclRule
	}{
		{"no servers", `[{"Protocol":"tcp","From":22,"To":22,"Source":"0.0.0.0/0"}]`, nil, []aclRule{}},
		{"no rules", `null`, servers, []aclRule{}},
		{"all", `[{"Protocol":"tcp","From":22,"To":22,"Source":"0.0.0.0/0"},{"Protocol":"udp","From":5,"To":9,"Source":"192.0.2.0/24"},
			{"Protocol":"icmp","From":0,"To":0,"Source":"0.0.0.0/0"},{"Protocol":"tcp","From":22,"To":22,"Source":"::/0"}]`, servers, []aclRule{
			{Action: "allow", State: "enabled", Protocol: "tcp", Destination: to, Port: "22"},
			{Action: "allow", State: "enabled", Protocol: "udp", Source: "192.0.2.0/24", Destination: to, Port: "5-9"},
			{Action: "allow", State: "enabled", Protocol: "icmp4", Destination: to},
		}},
		{"twice",
			`[{"Protocol":"tcp","From":22,"To":22,"Source":"0.0.0.0/0"},{"Protocol":"tcp","From":22,"To":22,"Source":"0.0.0.0/0"}]`,
			servers,
			[]aclRule{{Action: "allow", State: "enabled", Protocol: "tcp", Destination: to, Port: "22"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ingress(c.rules, c.servers); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("ingress = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	if _, err := ingress("{", servers); err == nil {
		t.Error("rules that are no JSON gave no error")
	}
}

func TestNetworkConfig(t *testing.T) {
	w := &provider.Network{Stack: "demo", Name: "net", Prefix: netip.MustParsePrefix("10.77.0.0/24"),
		DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("192.0.2.54")}}
	got, err := networkConfig(w)
	if err != nil || got["ipv4.address"] != "10.77.0.1/24" ||
		got["raw.dnsmasq"] != "dhcp-option=option:dns-server,192.0.2.53,192.0.2.54" {
		t.Errorf("networkConfig = %v, %v", got, err)
	}
	w.DNS = []netip.Addr{netip.MustParseAddr("2001:db8::1")}
	if _, err := networkConfig(w); !errors.Is(err, provider.ErrUnsupported) {
		t.Errorf("with IPv6: %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":     {},
		"both":        {Socket: "/x", URL: "https://x"},
		"plain":       {URL: "http://x:8443", Cert: []byte("x"), Key: []byte("x")},
		"no key":      {URL: "https://x:8443", Cert: []byte("x")},
		"user":        {URL: "https://a:b@x:8443", Cert: []byte("x"), Key: []byte("x")},
		"IPv6":        {Socket: "/x", Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}},
		"huge":        {Socket: "/x", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"time-out":    {Socket: "/x", ShutdownTimeout: -1},
		"server junk": {URL: "https://x:8443", Cert: []byte("x"), Key: []byte("x"), Server: []byte("x")},
	} {
		if _, err := New(c); !errors.Is(err, provider.ErrInvalid) && !errors.Is(err, provider.ErrCredentials) {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

// selfSigned is a certificate as LXD makes for itself: no CA's, and for a name by which nobody calls.
func selfSigned(t *testing.T, name string) (tls.Certificate, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k})
}

// TestPinned has only the daemon with the pinned certificate get a request.
func TestPinned(t *testing.T) {
	cert, text, _ := selfSigned(t, "vm")
	_, other, _ := selfSigned(t, "vm")
	_, own, key := selfSigned(t, "client")
	asked := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; len(r.TLS.PeerCertificates) != 1 {
			t.Error("a request without our certificate")
		}
		io.WriteString(w, `{"type":"sync","metadata":[]}`)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		server []byte
		want   error
	}{{"pinned", text, nil}, {"another's", other, provider.ErrCredentials},
		{"the system's", nil, provider.ErrCredentials}} {
		p, err := New(Config{URL: "https://127.0.0.1:" + port, Cert: own, Key: key, Server: c.server})
		if err != nil {
			t.Fatal(err)
		}
		before := asked
		if _, err = p.List(t.Context(), ""); !errors.Is(err, c.want) ||
			err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: List = %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && asked != before {
			t.Errorf("%s: the server was asked", c.name)
		}
		p.Close()
	}
}

// FuzzAnswers has LXD answer whatever it likes.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(
		`{"type":"sync","metadata":[{"name":"a","config":{"user.griddle-kind":"server","user.griddle-stack":"s","user.griddle-name":"n"},"status_code":103}]}`))
	f.Add([]byte(`{"type":"sync","metadata":{"running":[{"class":"task","description":"Creating ` +
		`instance","resources":{"instances":["/1.0/instances/a"]}}]}}`))
	f.Add([]byte(`{"type":"async","operation":"/1.0/operations/x","metadata":null}`))
	f.Add([]byte(`{"type":"error","error_code":500,"error":"no"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := New(Config{Socket: "/none", Wait: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		p.client.http.Transport = canned(b)
		p.List(t.Context(), "s")
		p.List(t.Context(), "")
		p.Ensure(t.Context(),
			&provider.Server{Stack: "s", Name: "n", Image: strings.Repeat("a", 64), Size: "tiny", Network: "a"})
	})
}

type canned []byte

// RoundTrip implements http.RoundTripper.
func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(c)))}, nil
}
