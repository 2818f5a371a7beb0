package authority

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	start := func(addr string) *Authority {
		t.Helper()
		a, err := Open(dir, netip.MustParseAddr(addr), []string{"host"}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := start("10.0.0.1")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(first.caPEM) {
		t.Fatal("the CA is not a certificate")
	}
	check := func(a *Authority, host string, at time.Time) *x509.Certificate {
		t.Helper()
		pair, err := a.TLSConfig().GetCertificate(&tls.ClientHelloInfo{})
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
	if st, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the CA's key has mode %v, %v, want 0600", st.Mode(), err)
	}
}

// TestAuthorityAfterPowerCut finds a CA key without its certificate, and a server key that is not its certificate's.
func TestAuthorityAfterPowerCut(t *testing.T) {
	dir := t.TempDir()
	open := func() (*Authority, error) {
		return Open(dir, netip.MustParseAddr("10.0.0.1"), nil, time.Now)
	}
	if _, err := open(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, File)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err != nil {
		t.Errorf("with a CA key alone: %v, want a new CA", err)
	}
	_, key, err := makeCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, serverKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if !a.good(a.leaf.Leaf, time.Now()) {
		t.Error("with a foreign server key the certificate is not good")
	}
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); err == nil {
		t.Error("a CA without its key was replaced, and every agent out there pins it")
	}
}
