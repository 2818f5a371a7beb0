package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
	"griddle/imagestore/sendstream"
	"griddle/initramfs/journal"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// room is a site's store behind plain HTTP, with one image, and an agent that booted from its boot image.
type room struct {
	*station
	store     *imagestore.Store
	dir       string
	site      *minisign.SecretKey
	publisher *minisign.SecretKey
	spec      job.Spec
	away      atomic.Int32 // requests for the head that fail first
	last      atomic.Pointer[job.Event]
}

func newRoom(t *testing.T) *room {
	t.Helper()
	ctx := t.Context()
	r := &room{dir: filepath.Join(t.TempDir(), "store")}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r.store, err = imagestore.Open(r.dir)
	must(err)
	r.site, err = minisign.GenerateKey()
	must(err)
	r.publisher, err = minisign.GenerateKey()
	must(err)
	must(r.store.TrustKey(ctx, r.publisher.Public()))
	must(r.store.Grant(ctx, catalog.Granting{Key: document.SiteGrant(r.site.Public()).String()}))
	must(r.store.KeepHead(ctx, r.site, 0))

	var text bytes.Buffer
	root := content.Entry{Type: content.Directory, Path: ".", Mode: 0o755}
	_, err = (&content.Manifest{Entries: []content.Entry{root}}).WriteTo(&text)
	must(err)
	c, err := r.store.PutContent(ctx, text.Bytes())
	must(err)
	id := document.Identity{Ref: "web:1@amd64", UUID: sendstream.UUID{1}, Ctransid: 7, Content: c}
	e, err := encoding.Encoder{}.Encode(ctx, strings.NewReader("a stream"), r.store.Blobs)
	must(err)
	image, err := r.store.PutImage(ctx,
		document.Image{Identity: id, Published: time.Unix(1.7e9, 0), Size: 1, Files: 1}, r.publisher)
	must(err)
	stream, err := r.store.PutStream(ctx, document.Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}, r.publisher)
	must(err)
	_, err = r.store.Add(ctx,
		catalog.Publication{Image: image, Streams: []catalog.StreamBlobs{{Document: stream, Index: e.Index}}})
	must(err)

	h := remote.Handler(r.store, nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == head.Path && r.away.Add(-1) >= 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	r.spec = job.Spec{ID: "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", Kind: job.Install,
		Sources: []string{srv.URL}, Disk: "largest",
		Image: job.Image{Ref: id.Ref, Document: string(image),
			Streams: []job.Stream{{Document: string(stream), Index: string(e.Index), Raw: e.Raw, Wire: e.Wire}}}}
	r.station = &station{site: site.Site{HTTP: srv.URL}}
	r.events = journal.New(slog.New(slog.DiscardHandler), "boot", func(e job.Event) { r.last.Store(&e) },
		func(context.Context, job.Events) (job.Acknowledged, error) {
			return job.Acknowledged{}, errors.New("away")
		})
	r.boot(t)
	return r
}

// boot gives the agent what the server puts into a boot image now.
func (r *room) boot(t *testing.T) {
	t.Helper()
	trusted, err := r.store.Trusted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.station.site.Trusted, r.station.site.Limited = nil, nil
	for _, g := range trusted.Grants() {
		r.station.site.Limited = append(r.station.site.Limited, g.String())
	}
	b, err := r.store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := head.Peek(b)
	if err != nil {
		t.Fatal(err)
	}
	r.station.site.Catalog = site.Catalog{Key: r.site.Public().String(), Seq: h.Seq}
}

// TestUntrustedImageIsNotInstalled: the job names an image that was good when the job was made.
func TestUntrustedImageIsNotInstalled(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *room) error
		want   string
	}{
		{"as it was", func(*room) error { return nil }, "this machine has no disk"},
		{"the server is away for a while", func(r *room) error { r.away.Store(2); return nil },
			"this machine has no disk"},
		{"the key is revoked", func(r *room) error { return r.store.Revoke(t.Context(), r.publisher.Public()) },
			"is not trusted here"},
		{"the key may sign other names", func(r *room) error {
			return r.store.Grant(t.Context(), catalog.Granting{Key: r.publisher.Public().String() + " webx web/*"})
		}, "may sign webx web/*, but not web"},
		{"the key may sign its name", func(r *room) error {
			return r.store.Grant(t.Context(), catalog.Granting{Key: r.publisher.Public().String() + " web"})
		}, "this machine has no disk"},
		{"the catalog has expired", func(r *room) error {
			_, err := r.store.SignHead(t.Context(), r.site, time.Now(), time.Now().Add(-time.Hour))
			if err == nil {
				r.store, err = imagestore.Open(r.dir) // the server that does not renew it
			}
			return errors.Join(err, r.serve(t))
		}, "must sign it again (griddle catalog sign)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t)
			if err := c.change(r); err != nil {
				t.Fatal(err)
			}
			r.boot(t)
			err := r.install(t.Context(), &uplink.Lease{}, r.spec, tui.Found{})
			e := r.last.Load()
			if err == nil || e.State != job.Failed || !strings.Contains(e.Message, c.want) ||
				!strings.Contains(e.Message, "nothing was written to disk") {
				t.Errorf("install = %v, last event %+v, want %q", err, e, c.want)
			}
		})
	}
}

// serve puts the store as it is now where the agent looks.
func (r *room) serve(t *testing.T) error {
	srv := httptest.NewServer(remote.Handler(r.store, nil))
	t.Cleanup(srv.Close)
	r.station.site.HTTP, r.spec.Sources = srv.URL, []string{srv.URL}
	return nil
}

// TestRolledBackCatalog: a server that has less than the boot image knows, signed by the site's key, or no signature.
func TestRolledBackCatalog(t *testing.T) {
	r := newRoom(t)
	good := r.station.site.Catalog
	seen, err := r.catalog(t.Context(), r.spec)
	if err != nil || seen.Seq != good.Seq || seen.Key != good.Key || seen.SHA256 == "" {
		t.Errorf("catalog = %+v, %v", seen, err)
	}
	r.station.site.Catalog.Seq++
	if _, err := r.catalog(t.Context(), r.spec); !errors.Is(err, head.ErrRollback) {
		t.Errorf("catalog of an old server = %v", err)
	}
	r.station.site.Catalog = site.Catalog{Key: r.publisher.Public().String()}
	if _, err := r.catalog(t.Context(), r.spec); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("catalog by another key = %v", err)
	}
	r.station.site.Catalog = site.Catalog{}
	if seen, err := r.catalog(t.Context(), r.spec); err != nil || seen.Key != "" {
		t.Errorf("catalog of a site that signs none = %+v, %v", seen, err)
	}
	r.station.site.Catalog = good
	if r.store, err = imagestore.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := r.serve(t); err != nil {
		t.Fatal(err)
	}
	if _, err := r.catalog(t.Context(), r.spec); !errors.Is(err, head.ErrMissing) {
		t.Errorf("catalog of a server that has none = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.events = journal.New(slog.New(slog.DiscardHandler), "boot", func(job.Event) { cancel() }, nil)
	r.station.site.HTTP = "http://127.0.0.1:1"
	if _, err := r.catalog(ctx, r.spec); !errors.Is(err, context.Canceled) {
		t.Errorf("catalog of a server that is away = %v", err)
	}
}

// TestPrivateImageIsOpened has the job's source be the server's https URL, which takes the token of the boot: the
// catalog and all documents come from there.
func TestPrivateImageIsOpened(t *testing.T) {
	r := newRoom(t)
	const token = "the token of this boot"
	h := remote.NewHandler(r.store,
		remote.HandlerOptions{Private: true, Who: func(req *http.Request) (remote.Caller, error) {
			if req.Header.Get("Authorization") != "Bearer "+token {
				return remote.Caller{}, errors.New("wrong token")
			}
			return remote.Caller{Role: remote.Reader}, nil
		}})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == job.HelloPath {
			json.NewEncoder(w).Encode(job.Welcome{Token: token})
			return
		}
		h.ServeHTTP(w, req)
	}))
	defer srv.Close()
	r.spec.Sources = []string{srv.URL}
	r.private(srv)
	var err error
	if r.api, err = newClient(r.station.site, newKey(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.api.hello(t.Context(), job.Hello{Boot: "b"}); err != nil {
		t.Fatal(err)
	}
	err = r.install(t.Context(), &uplink.Lease{}, r.spec, tui.Found{})
	if e := r.last.Load(); err == nil || !strings.Contains(e.Message, "this machine has no disk") {
		t.Errorf("install() = %v, and it says %q, want it to come as far as the disk", err, e.Message)
	}
}

// private has the boot image name srv, and nothing that listens for plain HTTP.
func (r *room) private(srv *httptest.Server) {
	r.station.site.HTTPS, r.station.site.HTTP = srv.URL, "http://127.0.0.1:1"
	r.station.site.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}
