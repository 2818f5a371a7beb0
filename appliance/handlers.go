package appliance

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"griddle/imagestore"
)

// plainHandler serves what needs no secrecy: every byte of it is public, or signed, or both.
func (s *server) plainHandler(boot http.Handler, files *os.Root) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /boot.ipxe", boot)
	mux.Handle("GET /boot/bios/", boot)
	mux.HandleFunc("GET /boot/site.cpio", s.serveSite)
	mux.Handle("GET /boot/", http.StripPrefix("/boot", serveFiles(files.FS())))
	public := imagestore.Handler(s.store, nil)
	mux.Handle("GET /v1/images", public)
	mux.Handle("GET /v1/images/", public)
	mux.Handle("GET /v1/blobs/", withHashes(s.streams, public))
	mux.Handle("GET "+imagestore.HeadPath, public)
	mux.Handle("GET "+imagestore.SitePath, public)
	mux.Handle("/v1/leases", public)
	mux.Handle("/v1/leases/", public)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// secureHandler serves agents, operators and publishers.
func (s *server) secureHandler() http.Handler {
	mux := http.NewServeMux()
	store := imagestore.Handler(s.store, s.api.Allow)
	for _, p := range []string{"/v1/images", "/v1/images/", "/v1/catalog", imagestore.HeadPath, imagestore.SitePath, "/v1/blobs", "/v1/blobs/", "/v1/collect", "/v1/leases", "/v1/leases/"} {
		mux.Handle(p, store)
	}
	mux.Handle("/", s.api)
	return mux
}

func (s *server) serveSite(w http.ResponseWriter, r *http.Request) {
	b, err := s.site(r.Context())
	if err != nil {
		s.log.Error("making the site's part of the boot image failed", "error", err)
		http.Error(w, "the appliance could not make it; its log says why", http.StatusInternalServerError)
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
