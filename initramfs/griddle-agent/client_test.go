package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/imagestore/blob"
)

func newKey(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// All calls of a boot prove the same key, blobs included.
func TestKeyOfBoot(t *testing.T) {
	keys := map[string]int{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys[job.KeyOf(r.TLS)]++
		json.NewEncoder(w).Encode(job.Welcome{Token: "t"})
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	s := &station{site: site.Site{HTTPS: srv.URL,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))}}
	for range 2 {
		var err error
		if s.api, err = newClient(s.site, newKey(t)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := s.api.hello(t.Context(), job.Hello{Boot: "b"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.api.events(t.Context(), job.Events{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.api.settings(t.Context()); err != nil {
			t.Fatal(err)
		}
		sources := s.sources(job.Spec{Sources: []string{srv.URL}})
		// What the server sends is not this blob: only the call matters here.
		if _, err := blob.ReadAll(t.Context(), sources[0], blob.Sum(nil), 1000); err == nil {
			t.Error("a wrong blob was taken")
		}
	}
	if len(keys) != 2 || keys[""] > 0 {
		t.Fatalf("two boots proved the keys %v", keys)
	}
	for k, n := range keys {
		if n < 5 {
			t.Errorf("%d of the calls of a boot were made with its key %s", n, k)
		}
	}
}
