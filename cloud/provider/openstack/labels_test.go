package openstack

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/cloud/provider"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
)

func TestLabels(t *testing.T) {
	long := labels{"firewall", strings.Repeat("s", 30), strings.Repeat("n", 94), strings.Repeat("f", 64), true}
	for _, l := range []labels{long, {"network", "demo", "net.1", "ab", true}, {"port", "demo", "web-1", "", false}} {
		if got, ok := parseDescription(l.describe()); !ok || got != l || len(l.describe()) > 255 {
			t.Errorf("parseDescription(%q) = %+v, %v, want %+v", l.describe(), got, ok, l)
		}
		for _, tag := range l.tags() {
			if len(tag) > 60 {
				t.Errorf("tag %q has more than 60 characters", tag)
			}
		}
	}
	for _, s := range []string{"", "griddle ", "griddle stack=a", "griddle kind=port name=n",
		"griddle stack=a kind=b name=c x", "Griddle stack=a kind=b name=c",
		"griddle stack=a stack=b kind=port name=c"} {
		if got, ok := parseDescription(s); ok {
			t.Errorf("parseDescription(%q) = %+v, want none", s, got)
		}
	}
}

func FuzzParseDescription(f *testing.F) {
	f.Add("griddle stack=demo kind=network name=net want=00 done")
	f.Fuzz(func(t *testing.T, s string) {
		if l, ok := parseDescription(s); ok && l.describe() != s {
			t.Errorf("%q is read as %+v, which is %q", s, l, l.describe())
		}
	})
}

func FuzzParseKeyName(f *testing.F) {
	f.Add("griddle_demo_a_b")
	f.Fuzz(func(t *testing.T, s string) {
		stack, name, ok := parseKeyName(s)
		if ok && !strings.Contains(s, ".") && keyName(stack, name) != s {
			t.Errorf("%q is read as %q and %q", s, stack, name)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"badRequest": {"message": "Flavor\n could not be found", "code": 400}}`))
	f.Add([]byte(`{"NeutronError": {"type": "X", "message": "no"}}`))
	f.Add([]byte("<html>\x1b[31m</html>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := message(b); len([]rune(s)) > 301 || strings.ContainsAny(s, "\n\x1b\x00") {
			t.Errorf("message(%q) = %q", b, s)
		}
	})
}

func TestClassify(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status      int
		text, after string
		want        error
		wait        time.Duration
	}{
		{status: 400, want: provider.ErrInvalid},
		{status: 400, text: "Invalid volume: Volume status must be available", want: provider.ErrTemporary},
		{status: 401, want: provider.ErrCredentials},
		{status: 403, text: "Policy does not allow it", want: provider.ErrCredentials},
		{status: 403, text: "Quota exceeded for cores: Requested 4", want: provider.ErrQuota},
		{status: 403, text: "Maximum number of key pairs exceeded", want: provider.ErrQuota},
		{status: 404, want: provider.ErrNotFound},
		{status: 409, want: provider.ErrTemporary},
		{status: 409, text: "Quota exceeded for resources: ['floatingip'].", want: provider.ErrQuota},
		{status: 409, text: "No more IP addresses available on network x.", want: provider.ErrQuota},
		{status: 413, text: "VolumeSizeExceedsAvailableQuota", after: "0", want: provider.ErrQuota},
		{status: 413, text: "This request was rate-limited", after: "30", want: provider.ErrTemporary,
			wait: 30 * time.Second},
		{status: 413, text: "too large", want: provider.ErrInvalid},
		{status: 429, want: provider.ErrTemporary, wait: time.Second},
		{status: 429, after: "Sat, 21 Nov 2026 12:00:09 GMT", want: provider.ErrTemporary, wait: 9 * time.Second},
		{status: 429, after: "Sat, 21 Nov 2026 11:00:00 GMT", want: provider.ErrTemporary},
		{status: 429, after: "999999999", want: provider.ErrTemporary, wait: maxWait},
		{status: 429, after: "-1", want: provider.ErrTemporary, wait: time.Second},
		{status: 500, want: provider.ErrTemporary},
		{status: 501, want: provider.ErrUnsupported},
		{status: 503, after: "5", want: provider.ErrTemporary, wait: 5 * time.Second},
		{status: 504, want: provider.ErrTemporary},
	} {
		h := http.Header{}
		if c.after != "" {
			h.Set("Retry-After", c.after)
		}
		err := answer{"GET", "https://cloud.test/v2/x?secret=1", c.status, c.text, h}.classify(now)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d %q = %v, want %v", c.status, c.text, err, c.want)
		}
		var r *provider.Retry
		if errors.As(err, &r) && r.After != c.wait || r == nil && c.wait != 0 {
			t.Errorf("%d %q: wait %v, want %v", c.status, c.after, r, c.wait)
		}
	}
}

func TestConverge(t *testing.T) {
	all := netip.MustParsePrefix("0.0.0.0/0")
	want := wantedRules([]provider.Rule{
		{Protocol: "tcp", From: 22, To: 22, Source: all}, {Protocol: "tcp", From: 22, To: 22, Source: all},
		{Protocol: "icmp", Source: netip.MustParsePrefix("::/0")},
	}, []netip.Prefix{netip.MustParsePrefix("10.5.0.0/24")})
	has := []rules.SecGroupRule{
		{ID: "1", Direction: "egress", EtherType: "IPv4"},
		{ID: "2", Direction: "egress", EtherType: "IPv6", RemoteIPPrefix: "::/0"},
		{ID: "3", Direction: "ingress", EtherType: "IPv4", Protocol: "tcp", PortRangeMin: 22, PortRangeMax: 22,
			RemoteIPPrefix: "0.0.0.0/0"},
		// the same once more
		{ID: "4", Direction: "ingress", EtherType: "IPv4", Protocol: "tcp", PortRangeMin: 22, PortRangeMax: 22},
		{ID: "5", Direction: "ingress", EtherType: "IPv4", RemoteGroupID: "g"},
		{ID: "6", Direction: "ingress", EtherType: "IPv6", Protocol: "icmpv6"},
		{ID: "7", Direction: "ingress", EtherType: "IPv4", Protocol: "udp", PortRangeMin: 53, PortRangeMax: 53},
		{ID: "8", Direction: "ingress", EtherType: "IPv4", RemoteIPPrefix: "10.5.0.0/24", RemoteAddressGroupID: "a"},
	}
	missing, surplus := converge(has, want)
	if len(missing) != 1 || missing[0].prefix != "10.5.0.0/24" || !slices.Equal(surplus, []string{"4", "5", "7", "8"}) {
		t.Errorf("converge = %+v, %v", missing, surplus)
	}
}
