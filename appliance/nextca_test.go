package appliance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"testing"
	"time"

	"griddle/appliance/job"
)

// trusts says whether a client with these CAs takes the certificate that a has now.
func trusts(t *testing.T, bundle []byte, a *authority) bool {
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

func openTestAuthority(t *testing.T) (*authority, *state) {
	t.Helper()
	st, err := openState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.close() })
	a, err := openAuthority(st, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a, st
}

// TestNextCA replaces the CA: who has seen both is served before and after the switch.
func TestNextCA(t *testing.T) {
	a, st := openTestAuthority(t)
	first := a.bundle()
	if err := SwitchCA(st.dir); !errors.Is(err, ErrNoNextCA) {
		t.Errorf("SwitchCA() without a next CA = %v, want ErrNoNextCA", err)
	}
	next, err := NextCA(st.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NextCA(st.dir, time.Now()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second NextCA() = %v, want fs.ErrExist", err)
	}
	if st, err := os.Stat(st.path(nextKeyFile)); err != nil || st.Mode() != 0o600 {
		t.Errorf("the next CA's key has mode %v, %v", st.Mode(), err)
	}
	if err := a.reread(); err != nil {
		t.Fatal(err)
	}
	both := a.bundle()
	if string(both) != string(first)+string(next) {
		t.Errorf("the bundle is %s", both)
	}
	if !trusts(t, first, a) || !trusts(t, both, a) || trusts(t, next, a) {
		t.Error("before the switch the certificate is not the first CA's")
	}
	if err := SwitchCA(st.dir); err != nil {
		t.Fatal(err)
	}
	if !trusts(t, first, a) {
		t.Error("the certificate changed before the server was reloaded")
	}
	if err := a.reread(); err != nil {
		t.Fatal(err)
	}
	if trusts(t, first, a) || !trusts(t, both, a) || !trusts(t, next, a) || string(a.bundle()) != string(next) {
		t.Error("after the switch the certificate is not the next CA's")
	}
	again, err := openAuthority(st, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil || !trusts(t, next, again) {
		t.Errorf("after a restart: %v", err)
	}
}

// TestSwitchIsKilled leaves what a crash between the two steps of the switch leaves: the start finishes it.
func TestSwitchIsKilled(t *testing.T) {
	_, st := openTestAuthority(t)
	next, err := NextCA(st.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(st.path(nextKeyFile), st.path(caKeyFile)); err != nil {
		t.Fatal(err)
	}
	a, err := openAuthority(st, netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil || !trusts(t, next, a) || len(a.nextPEM) != 0 {
		t.Errorf("openAuthority() = %v, want the next CA", err)
	}
	if _, err := tls.LoadX509KeyPair(st.path(CAFile), st.path(caKeyFile)); err != nil {
		t.Error(err)
	}
	// A crash while the next CA was made leaves its key alone, which is no CA.
	if err := os.WriteFile(st.path(nextKeyFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.reread(); err != nil || len(a.nextPEM) != 0 {
		t.Errorf("reread() with half a next CA = %v", err)
	}
	if err := SwitchCA(st.dir); !errors.Is(err, ErrNoNextCA) {
		t.Errorf("SwitchCA() with half a next CA = %v, want ErrNoNextCA", err)
	}
	if _, err := NextCA(st.dir, time.Now()); err != nil {
		t.Errorf("NextCA() over half of one = %v", err)
	}
}
