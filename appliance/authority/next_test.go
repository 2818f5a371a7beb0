package authority

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/appliance/job"
)

// trusts says whether a client with these CAs takes the certificate that a has now.
func trusts(t *testing.T, bundle []byte, a *Authority) bool {
	t.Helper()
	conf, err := job.PinnedTLS(bundle)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.certificate()
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{Roots: conf.RootCAs, DNSName: "127.0.0.1"})
	return err == nil
}

func open(t *testing.T) (a *Authority, dir string) {
	t.Helper()
	dir = t.TempDir()
	a, err := Open(dir, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// TestNextCA replaces the CA: who has seen both is served before and after the switch.
func TestNextCA(t *testing.T) {
	a, dir := open(t)
	first := a.Bundle()
	if err := Switch(dir); !errors.Is(err, ErrNoNext) {
		t.Errorf("Switch() without a next CA = %v, want ErrNoNext", err)
	}
	next, err := MakeNext(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := MakeNext(dir, time.Now()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second MakeNext() = %v, want fs.ErrExist", err)
	}
	if st, err := os.Stat(filepath.Join(dir, nextKeyFile)); err != nil || st.Mode() != 0o600 {
		t.Errorf("the next CA's key has mode %v, %v", st.Mode(), err)
	}
	if err := a.Reread(); err != nil {
		t.Fatal(err)
	}
	both := a.Bundle()
	if string(both) != string(first)+string(next) {
		t.Errorf("the bundle is %s", both)
	}
	if !trusts(t, first, a) || !trusts(t, both, a) || trusts(t, next, a) {
		t.Error("before the switch the certificate is not the first CA's")
	}
	if err := Switch(dir); err != nil {
		t.Fatal(err)
	}
	if !trusts(t, first, a) {
		t.Error("the certificate changed before the server was reloaded")
	}
	if err := a.Reread(); err != nil {
		t.Fatal(err)
	}
	if trusts(t, first, a) || !trusts(t, both, a) || !trusts(t, next, a) || string(a.Bundle()) != string(next) {
		t.Error("after the switch the certificate is not the next CA's")
	}
	again, err := Open(dir, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil || !trusts(t, next, again) {
		t.Errorf("after a restart: %v", err)
	}
}

// TestSwitchIsKilled leaves what a crash between the two steps of the switch leaves: the start finishes it.
func TestSwitchIsKilled(t *testing.T) {
	_, dir := open(t)
	next, err := MakeNext(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, nextKeyFile), filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	a, err := Open(dir, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil || !trusts(t, next, a) || len(a.nextPEM) != 0 {
		t.Errorf("Open() = %v, want the next CA", err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, File), filepath.Join(dir, keyFile)); err != nil {
		t.Error(err)
	}
	// A crash while the next CA was made leaves its key alone, which is no CA.
	if err := os.WriteFile(filepath.Join(dir, nextKeyFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reread(); err != nil || len(a.nextPEM) != 0 {
		t.Errorf("Reread() with half a next CA = %v", err)
	}
	if err := Switch(dir); !errors.Is(err, ErrNoNext) {
		t.Errorf("Switch() with half a next CA = %v, want ErrNoNext", err)
	}
	if _, err := MakeNext(dir, time.Now()); err != nil {
		t.Errorf("MakeNext() over half of one = %v", err)
	}
}
