package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/tui"
)

// TestProve: the key of an earlier install is used where the server approved it, and no other way.
func TestProve(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	at := site.Site{HTTPS: srv.URL,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))}
	old := newKey(t)
	gone := errors.New("the boot ends")
	for _, c := range []struct {
		name     string
		kept     bool
		approved bool
		err      error
		hellos   int
		usesKept bool
	}{
		{"a first install", false, false, nil, 1, false},
		{"an install again", true, true, nil, 1, true},
		{"a key that someone left on the disk", true, false, nil, 2, false},
		{"no answer", true, false, gone, 1, true},
	} {
		s := &station{log: slog.New(slog.DiscardHandler), site: at, boot: "first"}
		var boots []string
		var keys []tls.Certificate
		found, err := s.prove(old, c.kept, func() (tui.Found, error) {
			boots, keys = append(boots, s.boot), append(keys, s.api.tls.Certificates[0])
			return tui.Found{Welcome: job.Welcome{Machine: "lab-1", Approved: c.approved}}, c.err
		})
		if !errors.Is(err, c.err) || found.Welcome.Machine != "lab-1" || len(keys) != c.hellos {
			t.Errorf("%s: prove() = %+v, %v after %d hellos, want %d", c.name, found, err, len(keys), c.hellos)
			continue
		}
		same := func(a, b tls.Certificate) bool { return bytes.Equal(a.Certificate[0], b.Certificate[0]) }
		last := keys[len(keys)-1]
		if same(last, old) != c.usesKept || !same(last, s.key) || c.kept && !same(keys[0], old) {
			t.Errorf("%s: the last hello had the earlier key: %t, want %t", c.name, same(last, old), c.usesKept)
		}
		if len(boots) == 2 && (boots[0] != "first" || boots[1] == "first") {
			t.Errorf("%s: two keys are of the boots %v", c.name, boots)
		}
	}
}
