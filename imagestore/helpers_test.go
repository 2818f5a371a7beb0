package imagestore_test

import (
	"bytes"
	crand "crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
	"griddle/imagestore/sendstream"
)

// fixture is a store with a key that it trusts.
type fixture struct {
	t   testing.TB
	dir string
	s   *imagestore.Store
	key *minisign.SecretKey
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := imagestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, s: s, key: imagetest.NewKey(t)}
	if err := s.TrustKey(t.Context(), f.key.Public()); err != nil {
		t.Fatal(err)
	}
	return f
}

// overServer is the same store as a client of a server sees it.
func (f *fixture) overServer() *fixture { return f.overServerWith("right") }

// overServerWith is the same for a client with some token; "right" is the one that the server takes.
func (f *fixture) overServerWith(token string) *fixture {
	f.t.Helper()
	srv := httptest.NewTLSServer(remote.Handler(f.s, func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer right" {
			return errors.New("wrong token")
		}
		return nil
	}))
	f.t.Cleanup(srv.Close)
	s, err := remote.Open(remote.ServerOptions{URL: srv.URL, Token: token, Client: srv.Client()})
	if err != nil {
		f.t.Fatal(err)
	}
	return &fixture{f.t, f.dir, s, f.key}
}

func (f *fixture) identity(name string) document.Identity {
	f.t.Helper()
	m := content.Manifest{Entries: []content.Entry{{Type: content.Directory, Path: ".", Mode: 0o755}}}
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		f.t.Fatal(err)
	}
	c, err := f.s.PutContent(f.t.Context(), text.Bytes())
	if err != nil {
		f.t.Fatal(err)
	}
	sum := blob.Sum([]byte(name)).Hex()
	u, err := sendstream.ParseUUID(sum[:8] + "-" + sum[8:12] + "-" + sum[12:16] + "-" + sum[16:20] + "-" + sum[20:32])
	if err != nil {
		f.t.Fatal(err)
	}
	return document.Identity{Ref: name, UUID: u, Ctransid: 7, Content: c}
}

// stream encodes raw and stores a signed document for it.
func (f *fixture) stream(id document.Identity, parent string, raw []byte) catalog.StreamBlobs {
	f.t.Helper()
	e, err := encoding.Encoder{}.Encode(f.t.Context(), bytes.NewReader(raw), f.s.Blobs)
	if err != nil {
		f.t.Fatal(err)
	}
	doc := document.Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}
	if parent != "" {
		p := f.identity(parent)
		doc.Parent = &p
	}
	d, err := f.s.PutStream(f.t.Context(), doc, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	return catalog.StreamBlobs{Document: d, Index: e.Index}
}

// image stores everything of an image and returns what Add takes. Each way is a parent, "" for none, and its bytes.
type way struct {
	parent string
	raw    []byte
}

func (f *fixture) image(name string, ways ...way) catalog.Publication {
	f.t.Helper()
	id := f.identity(name)
	d, err := f.s.PutImage(f.t.Context(), document.Image{Identity: id, Description: "of " + name, Comment: crand.Text(),
		Published: time.Unix(1.7e9, 0), Size: 1000, Files: 1}, f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	p := catalog.Publication{Image: d}
	for _, w := range ways {
		p.Streams = append(p.Streams, f.stream(id, w.parent, w.raw))
	}
	return p
}

func (f *fixture) publish(name string, ways ...way) catalog.Listed {
	f.t.Helper()
	l, err := f.s.Add(f.t.Context(), f.image(name, ways...))
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// blobFile is where the local store keeps d.
func (f *fixture) blobFile(d blob.Digest) string {
	return filepath.Join(f.dir, "blobs", "sha256", d.Hex()[:2], d.Hex())
}

// damage changes one byte of a blob, at off, or from its end where off is negative.
func (f *fixture) damage(d blob.Digest, off int) {
	f.t.Helper()
	b, err := os.ReadFile(f.blobFile(d))
	if err != nil {
		f.t.Fatal(err)
	}
	if off < 0 {
		off += len(b)
	}
	b[off] ^= 0x40
	if err := os.WriteFile(f.blobFile(d), b, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) blobs() (out []blob.Digest) {
	f.t.Helper()
	if err := f.s.Blobs.List(f.t.Context(), func(i blob.Info) error {
		out = append(out, i.Digest)
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
	return out
}

func refs(list []catalog.Listed) string {
	var out []string
	for _, l := range list {
		name := l.Ref
		for _, s := range l.Streams {
			if s.Level > 3 {
				name += fmt.Sprintf(" (level %d)", s.Level)
			}
		}
		out = append(out, name)
	}
	return fmt.Sprint(out)
}

func (f *fixture) timeOf(d blob.Digest) time.Time {
	f.t.Helper()
	i, err := os.Stat(f.blobFile(d))
	if err != nil {
		f.t.Fatal(err)
	}
	return i.ModTime()
}
