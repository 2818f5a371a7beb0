package remote

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance"
	"griddle/appliance/authority"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// site is a server with a CA of its own, that shows what bundle is as its CA.
type site struct {
	*httptest.Server
	a           *authority.Authority
	fingerprint string
	bundle      []byte
	asked       int // other requests than for its CA
}

func newSite(t *testing.T) *site {
	t.Helper()
	a, err := authority.Open(t.TempDir(), netip.MustParseAddr("127.0.0.1"), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{a: a, bundle: a.Bundle()}
	all, err := authority.Certificates(s.bundle)
	if err != nil || len(all) != 1 {
		t.Fatalf("the CA has %d certificates, %v", len(all), err)
	}
	s.fingerprint = authority.Fingerprint(all[0])
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != appliance.CAPath {
			s.asked++
		}
		w.Write(s.bundle)
	}))
	s.Listener = tls.NewListener(s.Listener, &tls.Config{GetCertificate: a.TLSConfig().GetCertificate})
	s.Start()
	t.Cleanup(s.Close)
	s.URL = "https" + strings.TrimPrefix(s.URL, "http")
	return s
}

// TestTrust meets servers for the first time. Only a CA whose fingerprint was compared counts afterwards.
func TestTrust(t *testing.T) {
	ours, theirs := newSite(t), newSite(t)
	e := &cli.Env{Stdin: strings.NewReader("y\n"), Stdout: &strings.Builder{}, Stderr: &strings.Builder{},
		Getenv: func(string) string { return "" }}
	bare := strings.ToLower(strings.ReplaceAll(ours.fingerprint, ":", ""))
	both := slices.Concat(ours.bundle, theirs.bundle)
	own, broken := ours.bundle, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for name, c := range map[string]struct {
		at     *site
		bundle []byte
		give   string
		want   string // of the error; "" for none
	}{
		"the right one":             {ours, own, ours.fingerprint, ""},
		"written otherwise":         {ours, own, bare, ""},
		"as openssl prints it":      {ours, own, "sha256 Fingerprint=" + ours.fingerprint, ""},
		"another server":            {theirs, theirs.bundle, ours.fingerprint, "the fingerprint " + theirs.fingerprint},
		"one that shows our CA":     {theirs, own, ours.fingerprint, "does not have a certificate of the CA"},
		"one that shows both":       {theirs, both, ours.fingerprint, "has the fingerprint"},
		"nothing":                   {ours, nil, ours.fingerprint, "does not have a certificate"},
		"no certificate":            {ours, broken, "x", "reading a certificate"},
		"a part of the fingerprint": {ours, own, ours.fingerprint[:20], "has the fingerprint"},
		"no one to ask":             {ours, own, "", "standard input is not a terminal"},
	} {
		c.at.bundle = c.bundle
		ca, err := (&trust{fingerprint: c.give}).authority(t.Context(), e, c.at.URL)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && string(ca) != string(ours.a.Bundle()) {
			t.Errorf("%s: it trusts %s", name, ca)
		}
	}
	// What follows our CA comes over a connection with our CA, and counts.
	ours.bundle = slices.Concat(ours.a.Bundle(), theirs.a.Bundle())
	ca, err := (&trust{fingerprint: ours.fingerprint}).authority(t.Context(), e, ours.URL)
	if err != nil || string(ca) != string(ours.bundle) {
		t.Errorf("with the next CA: %v", err)
	}
	if _, err := job.PinnedTLS(ca); err != nil {
		t.Error(err)
	}
	if ours.asked+theirs.asked != 0 {
		t.Error("more was asked than for the CA")
	}
}
