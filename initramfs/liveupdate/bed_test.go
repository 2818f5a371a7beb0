package liveupdate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/tls"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/appliance/site/notice"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
	"griddle/imagestore/sendstream"
	"griddle/initramfs/chroot"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/pooltest"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"
)

// TestMain runs the tests in a mount namespace of their own, so that other tests do not keep loop devices in use.
func TestMain(m *testing.M) {
	chroot.Inside()
	mounttest.Own()
	os.Exit(m.Run())
}

const jobID = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// bed is an installed machine, its site, and an update that only reads the stream.
type bed struct {
	Options
	t      *testing.T
	dir    string // of the service
	made   pooltest.Made
	store  *imagestore.Store
	server *httptest.Server
	site   *minisign.SecretKey
	author *minisign.SecretKey
	raw    []byte
	spec   job.Spec
	log    bytes.Buffer
	seq    int64 // of the notice

	other    string       // the document of the image that the server plans instead
	away     atomic.Bool  // the server sends nothing
	cut      atomic.Int32 // answers that are cut in the middle
	mu       sync.Mutex
	asked    []job.PlanAsk
	keys     []string
	did      []string // what the update did
	restarts int
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), made: pooltest.Installed(t), raw: imagetest.Bytes(5, 9<<20)}
	b.publish()
	h := remote.Handler(b.store, nil)
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.serve(h, w, r)
	}))
	b.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert}
	b.server.StartTLS()
	t.Cleanup(b.server.Close)
	b.install()
	orders := order.Open(b.dir, t.TempDir())
	b.Options = Options{Orders: orders, Look: 10 * time.Millisecond,
		Contact: func() (*contact.Contact, error) {
			c, bad, err := contact.Open(b.dir)
			return c, errors.Join(bad, err)
		},
		Pool: func() (*pool.Pool, pool.Place, error) {
			place := pool.Place{Job: pooltest.Job, Pool: b.made.Device, ESP: b.made.ESP}
			p, err := pool.Open(place)
			return p, place, err
		},
		History: func() ([]history.Event, error) { return nil, nil },
		Restart: func(context.Context, string, bool) error { b.restarts++; return nil },
		Log:     slog.New(slog.NewTextHandler(&b.log, nil)),
		Update:  b.update,
	}
	return b
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// publish makes the store with one image.
func (b *bed) publish() {
	b.t.Helper()
	ctx := b.t.Context()
	var err error
	b.store, err = imagestore.Open(filepath.Join(b.t.TempDir(), "store"))
	b.must(err)
	b.site, err = minisign.GenerateKey()
	b.must(err)
	b.author, err = minisign.GenerateKey()
	b.must(err)
	b.must(b.store.TrustKey(ctx, b.author.Public()))
	b.must(b.store.Grant(ctx, catalog.Granting{Key: document.SiteGrant(b.site.Public()).String()}))
	b.must(b.store.KeepHead(ctx, b.site, 0))
	var text bytes.Buffer
	root := content.Entry{Type: content.Directory, Path: ".", Mode: 0o755}
	_, err = (&content.Manifest{Entries: []content.Entry{root}}).WriteTo(&text)
	b.must(err)
	c, err := b.store.PutContent(ctx, text.Bytes())
	b.must(err)
	id := document.Identity{Ref: "web:2@amd64", UUID: sendstream.UUID{1}, Ctransid: 7, Content: c}
	e, err := encoding.Encoder{}.Encode(ctx, bytes.NewReader(b.raw), b.store.Blobs)
	b.must(err)
	image, err := b.store.PutImage(ctx,
		document.Image{Identity: id, Published: time.Unix(1.7e9, 0), Size: 1, Files: 1}, b.author)
	b.must(err)
	stream, err := b.store.PutStream(ctx, document.Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}, b.author)
	b.must(err)
	_, err = b.store.Add(ctx,
		catalog.Publication{Image: image, Streams: []catalog.StreamBlobs{{Document: stream, Index: e.Index}}})
	b.must(err)
	b.spec = job.Spec{ID: jobID, Kind: job.Update, Image: job.Image{Ref: id.Ref, Document: string(image), Size: 1,
		Streams: []job.Stream{{Document: string(stream), Index: string(e.Index), Raw: e.Raw, Wire: e.Wire}}}}
}

// serve is the site's server. Blobs come over https, as those of a private store.
func (b *bed) serve(h http.Handler, w http.ResponseWriter, r *http.Request) {
	if b.away.Load() {
		panic(http.ErrAbortHandler)
	}
	b.mu.Lock()
	b.keys = append(b.keys, job.KeyOf(r.TLS))
	b.mu.Unlock()
	switch {
	case r.URL.Path == job.PlanPath:
		var ask job.PlanAsk
		_ = json.NewDecoder(r.Body).Decode(&ask)
		b.mu.Lock()
		b.asked = append(b.asked, ask)
		b.mu.Unlock()
		plan := b.spec.Image
		if ask.Kernel {
			plan = b.spec.Kernel
		}
		if b.other != "" {
			plan.Document = b.other
		}
		json.NewEncoder(w).Encode(plan)
	case r.URL.Path == job.StreamPath:
		w.WriteHeader(http.StatusNotFound)
	case strings.HasPrefix(r.URL.Path, job.BlobsPath) && r.Method == http.MethodGet && b.cut.Load() > 0:
		h.ServeHTTP(&cutting{ResponseWriter: w, b: b}, r)
	default:
		h.ServeHTTP(w, r)
	}
}

// cutting is an answer that ends after 2 MiB, with which the server goes.
type cutting struct {
	http.ResponseWriter
	b    *bed
	sent int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.sent += len(p); c.sent > 2<<20 {
		c.b.cut.Add(-1)
		c.b.away.Store(true)
		time.AfterFunc(300*time.Millisecond, func() { c.b.away.Store(false) })
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// install leaves what an install does.
func (b *bed) install() {
	b.t.Helper()
	root, err := os.OpenRoot(b.dir)
	b.must(err)
	defer root.Close()
	key, err := job.NewKey()
	b.must(err)
	b.must(machinekey.Keep(root, key))
	b.spec.Sources = []string{b.server.URL}
	conf, err := json.Marshal(contact.Config{Machine: "web1", Site: b.at(), Installed: time.Now().Add(-time.Hour)})
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.dir, contact.ConfigFile), conf, 0o600))
}

// at is the site as it is now.
func (b *bed) at() site.Site {
	b.t.Helper()
	trusted, err := b.store.Trusted(b.t.Context())
	b.must(err)
	signed, err := b.store.Head(b.t.Context())
	b.must(err)
	h, err := head.Peek(signed)
	b.must(err)
	at := site.Site{HTTP: "http://127.0.0.1:1", HTTPS: b.server.URL,
		CA:      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.server.Certificate().Raw})),
		Catalog: site.Catalog{Key: b.site.Public().String(), Seq: h.Seq}}
	for _, g := range trusted.Grants() {
		at.Limited = append(at.Limited, g.String())
	}
	return at
}

// notify keeps a notice of the site as it is now, as the service does.
func (b *bed) notify() {
	b.t.Helper()
	b.seq++
	signed, err := notice.Notice{Seq: b.seq, Time: time.Now(), At: b.at()}.Sign(b.site)
	b.must(err)
	c, err := b.Contact()
	b.must(err)
	_, err = c.Accept(signed)
	b.must(errors.Join(err, c.Close()))
}

// update stands in for package update: it reads the image, and switches nothing.
func (b *bed) update(ctx context.Context, o update.Options) (update.Result, error) {
	img, err := o.Open(ctx, []string{"11111111-1111-4111-8111-111111111111"})
	if err != nil {
		return update.Result{}, err
	}
	o.Event(job.Event{Phase: job.PhaseReceive, Level: job.Info, Message: "receiving"})
	s, err := img.OpenStream(ctx, 0, "")
	if err != nil {
		return update.Result{}, err
	}
	got, err := io.ReadAll(s)
	if err = errors.Join(err, s.Close()); err != nil {
		return update.Result{}, err
	}
	if !bytes.Equal(got, b.raw) {
		b.t.Error("the stream is not the one that was published")
	}
	if o.Prepare {
		b.did = append(b.did, "prepare")
		return update.Result{}, nil
	}
	b.did = append(b.did, "switch")
	o.Event(job.Event{Phase: job.PhaseSwitch, Level: job.Info, Message: "switched"})
	return update.Result{Root: "web-2@amd64"}, nil
}

// run gives an order and carries it out; the service reports meanwhile.
func (b *bed) run(ctx context.Context) error {
	b.t.Helper()
	b.must(b.Orders.Give(order.Order{Spec: b.spec, Given: time.Now().UTC()}))
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if r := b.Orders.Result(); r != nil && r.Job == b.spec.ID && r.State == order.Switched {
				_ = b.Orders.Report(order.Reported{Switched: r.Job})
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return Run(ctx, b.Options)
}
