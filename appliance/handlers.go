package appliance

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"griddle/appliance/config"
	"griddle/imagestore/blob"
	"griddle/imagestore/remote"
)

// plainHandler serves what needs no secrecy: every byte of it is public, or signed, or both.
func (s *server) plainHandler(boot http.Handler, files *os.Root) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /boot.ipxe", boot)
	mux.Handle("GET /boot/bios/", boot)
	mux.HandleFunc("GET /boot/site.cpio", s.serveSite)
	mux.Handle("GET /boot/", http.StripPrefix("/boot", serveFiles(files.FS())))
	store := s.images(nil)
	for _, r := range remote.Routes() {
		if r.Access == remote.Reads {
			mux.Handle(r.Pattern, store)
		}
	}
	s.serveReadiness(mux)
	s.serveMetrics(mux, false)
	return mux
}

// secureHandler serves agents, operators and publishers.
func (s *server) secureHandler() http.Handler {
	mux := http.NewServeMux()
	store := s.images(s.callers.who)
	for _, r := range remote.Routes() {
		mux.Handle(r.Pattern, store)
	}
	mux.HandleFunc("GET "+CAPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(s.authority.Bundle()) // who is gone does not read it
	})
	s.serveReadiness(mux)
	s.serveMetrics(mux, true)
	mux.Handle("/", s.callers.meet(s.api))
	return mux
}

// serveReadiness adds what tells anyone whether the server lives and works.
func (s *server) serveReadiness(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", s.ready.Health)
	mux.HandleFunc("GET /readyz", s.ready.Ready)
}

// CAPath is the path of the server's CA, and of the one that will follow, in PEM. A client that does not know the CA
// yet has it from a connection that proves nothing: a person compares its fingerprint.
const CAPath = "/v1/ca"

// images serves the store. Without who everybody is a stranger.
func (s *server) images(who func(*http.Request) (remote.Caller, error)) http.Handler {
	return remote.NewHandler(s.store, remote.HandlerOptions{
		Who: who, Begin: s.callers.begin, Private: s.config.Images == config.ImagesPrivate, Client: s.callers.client,
		Admit: s.limits.admit,
		Beside: func(d blob.Digest) ([]byte, bool) { // what multicast compares blocks with
			list, ok := s.streams.Hashes(d)
			return list, ok
		},
	})
}

func (s *server) serveSite(w http.ResponseWriter, r *http.Request) {
	b, err := s.siteNow(r.Context())
	if err != nil {
		s.log.Error("making the site's part of the boot image failed", "error", err)
		http.Error(w, "the server could not make it; its log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// serveFiles serves regular files, with Range, and lists no directory. files keeps within its root.
func serveFiles(files fs.FS) http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Clean(r.URL.Path)
		st, err := fs.Stat(files, name[1:])
		if err != nil || !st.Mode().IsRegular() || name != r.URL.Path {
			http.NotFound(w, r)
			return
		}
		// UEFI HTTP Boot wants this type of a loader (UEFI specification 2.10 section 24.7.2).
		kind := "application/octet-stream"
		if path.Ext(name) == ".efi" {
			kind = "application/efi"
		}
		w.Header().Set("Content-Type", kind)
		serve.ServeHTTP(w, r)
	})
}
