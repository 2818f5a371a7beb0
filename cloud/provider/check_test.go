package provider_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"griddle/cloud/provider"
)

func TestCheck(t *testing.T) {
	f := provider.Features{Name: "x", Format: provider.Raw, UserData: 4096,
		Lacks: map[provider.Kind]string{provider.KindKey: "cloud-init has them"}}
	err := provider.Check(f, &provider.Key{Stack: "s", Name: "k"})
	if !errors.Is(err, provider.ErrUnsupported) || !strings.Contains(err.Error(), "cloud-init has them") {
		t.Errorf("a kind that it lacks = %v", err)
	}
	err = provider.Check(f,
		&provider.Server{Stack: "Demo", Name: "-web", Size: "s", Image: "i", Disk: -1, UserData: make([]byte, 5000)})
	if !errors.Is(err, provider.ErrInvalid) {
		t.Fatalf("a server with many faults = %v, want ErrInvalid", err)
	}
	for _, part := range []string{"stack's name", "not a DNS label\n", "network", "-1 bytes", "5000 bytes"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("its faults are %q, want %q among them", err, part)
		}
	}
}

func TestCheckPrivate(t *testing.T) {
	n := netip.MustParsePrefix("10.7.0.0/28")
	for a, ok := range map[string]bool{
		"10.7.0.0": false, "10.7.0.1": false, "10.7.0.2": true, "10.7.0.14": true, "10.7.0.15": false,
		"10.7.0.16": false, "::1": false,
	} {
		if err := provider.CheckPrivate(n, netip.MustParseAddr(a)); (err == nil) != ok {
			t.Errorf("CheckPrivate(%v, %s) = %v, want ok %v", n, a, err, ok)
		}
	}
	if err := provider.CheckPrivate(n, netip.Addr{}); err != nil {
		t.Errorf("CheckPrivate of no address = %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("demo", "web-1", "ssh-ed25519 AAAA")
	f.Fuzz(func(t *testing.T, stack, name, line string) {
		err := provider.Check(provider.Features{}, &provider.Key{Stack: stack, Name: name, Public: line})
		if err == nil && (strings.ContainsAny(stack+name, "/_ \x00\n") || strings.Contains(line, "\n") ||
			strings.HasPrefix(name, ".")) {
			t.Errorf("Check took %q, %q, %q", stack, name, line)
		}
	})
}
