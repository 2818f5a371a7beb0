package appliance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore"
)

func held(t *testing.T) *state {
	t.Helper()
	s, err := openState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func TestStateHasOneHolder(t *testing.T) {
	s := held(t)
	_, err := openState(s.dir)
	var advice Advice
	if !errors.As(err, &advice) || !strings.Contains(err.Error(), s.dir) {
		t.Errorf("openState() of a held directory = %v, want an Advice that names it", err)
	}
	if st, err := os.Stat(s.dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v, want 0700", st.Mode(), err)
	}
}

func TestAdminToken(t *testing.T) {
	s := held(t)
	first, err := s.adminToken()
	if err != nil || len(first) < 40 {
		t.Fatalf("adminToken() = %q, %v", first, err)
	}
	if again, err := s.adminToken(); err != nil || again != first {
		t.Errorf("adminToken() again = %q, %v, want %q", again, err, first)
	}
	if st, err := os.Stat(s.path(TokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v, %v, want 0600", st.Mode(), err)
	}
	if err := os.WriteFile(s.path(TokenFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.adminToken(); err == nil {
		t.Error("adminToken() of an empty file succeeded")
	}
}

func TestAuthority(t *testing.T) {
	s := held(t)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	start := func(addr string) *authority {
		t.Helper()
		a, err := openAuthority(s, netip.MustParseAddr(addr), []string{"host"}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := start("10.0.0.1")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(first.caPEM) {
		t.Fatal("the CA is no certificate")
	}
	check := func(a *authority, host string, at time.Time) *x509.Certificate {
		t.Helper()
		pair, err := a.tlsConfig().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: at}); err != nil {
			t.Errorf("the certificate for %s at %s = %v", host, at, err)
		}
		return pair.Leaf
	}
	leaf := check(first, "10.0.0.1", now)
	check(first, "host", now)
	check(first, "127.0.0.1", now)
	check(first, "10.0.0.1", time.Date(2020, 6, 1, 0, 0, 0, 0, time.UTC)) // a machine whose clock lost its battery

	if again := check(start("10.0.0.1"), "10.0.0.1", now); !again.Equal(leaf) {
		t.Error("a second start made another certificate")
	}
	moved := check(start("10.0.0.2"), "10.0.0.2", now)
	if moved.Equal(leaf) {
		t.Error("with another address the certificate stayed the same")
	}
	running := start("10.0.0.2")
	now = now.AddDate(1, 6, 0)
	if renewed := check(running, "10.0.0.2", now); renewed.Equal(moved) {
		t.Error("a server that runs for long keeps its old certificate")
	}
	if st, err := os.Stat(s.path(caKeyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the CA's key has mode %v, %v, want 0600", st.Mode(), err)
	}
}

// TestAuthorityAfterPowerCut finds a CA key without its certificate, and a server key that is not its certificate's.
func TestAuthorityAfterPowerCut(t *testing.T) {
	s := held(t)
	open := func() (*authority, error) {
		return openAuthority(s, netip.MustParseAddr("10.0.0.1"), nil, time.Now)
	}
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(CAFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err != nil {
		t.Errorf("with a CA key alone: %v, want a new CA", err)
	}
	_, key, err := makeCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(serverKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if !a.good(a.leaf.Leaf, time.Now()) {
		t.Error("with a foreign server key the certificate is not good")
	}
	if err := os.Remove(s.path(caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil {
		t.Error("a CA without its key was replaced, and every agent out there pins it")
	}
}

// TestSiteKeyIsNotReplaced starts with the wrong state directory, or one whose key was lost: the
// store stays its site's.
func TestSiteKeyIsNotReplaced(t *testing.T) {
	ctx, right, wrong := t.Context(), held(t), held(t)
	store, err := imagestore.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := right.siteKey(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := right.siteKey(ctx, store); err != nil || again.Public() != key.Public() {
		t.Errorf("siteKey() again = %v, want the same key", err)
	}
	var advice Advice
	if _, err := wrong.siteKey(ctx, store); !errors.As(err, &advice) ||
		!strings.Contains(err.Error(), key.Public().ID()) {
		t.Errorf("siteKey() of another state directory = %v, want an Advice that names the key %s",
			err, key.Public().ID())
	}
	if _, err := os.Stat(wrong.path(SiteKeyFile)); err == nil {
		t.Error("a refusal left a key")
	}
	if keys, err := store.Keys(ctx); err != nil || len(keys) != 1 {
		t.Errorf("the store trusts %d keys, %v, want 1", len(keys), err)
	}
	if err := store.Revoke(ctx, key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.siteKey(ctx, store); err != nil {
		t.Errorf("siteKey() where the old site's key is revoked = %v", err)
	}
}

func TestSecretsAreTightened(t *testing.T) {
	s := held(t)
	if _, err := s.adminToken(); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 0 {
		t.Errorf("tighten() = %v, %v, want nothing to do", open, err)
	}
	if err := os.Chmod(s.path(TokenFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 1 || open[0] != TokenFile+" (0644)" {
		t.Errorf("tighten() = %v, %v, want the token's file", open, err)
	}
	if st, err := os.Stat(s.path(TokenFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v, %v, want 0600", st.Mode(), err)
	}
	if err := s.sealer().Make(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path(settingsKey), 0o640); err != nil {
		t.Fatal(err)
	}
	if open, err := s.tighten(); err != nil || len(open) != 1 || open[0] != settingsKey+" (0640)" {
		t.Errorf("tighten() = %v, %v, want the key of settings", open, err)
	}
}
