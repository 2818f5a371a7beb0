package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/imagestore/blob"
)

// TestSourcesTakeTheToken reads a blob of the server with the token of the present hello, whichever that is, and
// shows it to no other source, nor to a server that it is redirected to.
func TestSourcesTakeTheToken(t *testing.T) {
	content := []byte("a blob")
	d := blob.Sum(content)
	var shown atomic.Value // what another server was shown
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown.Store(fmt.Sprint(r.Header, r.URL))
		w.Write(content)
	}))
	defer other.Close()
	var hellos atomic.Int32
	redirect := false
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == job.HelloPath:
			var h job.Hello
			if err := json.NewDecoder(r.Body).Decode(&h); err != nil || len(h.Sources) != 1 ||
				h.Sources[0] != job.SourceHTTPS {
				t.Errorf("it says hello as %+v, %v", h, err)
			}
			json.NewEncoder(w).Encode(job.Welcome{Token: fmt.Sprint("token ", hellos.Add(1))})
		case r.Header.Get("Authorization") != fmt.Sprint("Bearer token ", hellos.Load()):
			http.Error(w, "wrong token", http.StatusForbidden)
		case redirect:
			http.Redirect(w, r, other.URL, http.StatusFound)
		default:
			w.Write(content)
		}
	}))
	defer srv.Close()
	s := &station{site: site.Site{HTTPS: srv.URL, HTTP: other.URL,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))}}
	var err error
	if s.api, err = newClient(s.site, newKey(t)); err != nil {
		t.Fatal(err)
	}
	sources := s.sources(job.Spec{Sources: []string{srv.URL, other.URL}})
	if _, err := blob.ReadAll(t.Context(), sources[0], d, 100); err == nil {
		t.Error("a blob was read before the hello")
	}
	for range 2 { // each hello makes the former token void
		if _, err := s.api.hello(t.Context(), job.Hello{Boot: "b", Sources: []string{job.SourceHTTPS}}); err != nil {
			t.Fatal(err)
		}
		for i, r := range sources {
			if _, err := blob.ReadAll(t.Context(), r, d, 100); err != nil {
				t.Errorf("source %d: %v", i, err)
			}
		}
	}
	redirect = true
	if _, err := blob.ReadAll(t.Context(), sources[0], d, 100); err == nil {
		t.Error("a redirection was followed")
	}
	if seen := fmt.Sprint(shown.Load()); strings.Contains(seen, "token") || strings.Contains(seen, "Authorization") {
		t.Errorf("another server was shown %s", seen)
	}
	if base, _ := s.headSource(job.Spec{Sources: []string{srv.URL}}); base != srv.URL {
		t.Errorf("the head of private images comes from %s", base)
	}
	if base, _ := s.headSource(job.Spec{Sources: []string{other.URL}}); base != other.URL {
		t.Errorf("the head of public images comes from %s", base)
	}
}
