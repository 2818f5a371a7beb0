package imagestore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/mirror"
	"griddle/imagestore/remote"
)

// ways is how a store is reached that is copied from: all must refuse the same.
func (s *site) ways() map[string]func() (*imagestore.Store, mirror.Options) {
	return map[string]func() (*imagestore.Store, mirror.Options){
		"http": func() (*imagestore.Store, mirror.Options) {
			c, err := remote.Open(remote.ServerOptions{URL: s.srv.URL, Client: s.srv.Client()})
			if err != nil {
				s.t.Fatal(err)
			}
			return c, mirror.Options{}
		},
		"stdio": func() (*imagestore.Store, mirror.Options) {
			there, here := net.Pipe()
			st, err := imagestore.Open(s.dir) // as another process, which keeps no head
			if err != nil {
				s.t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- remote.ServeConn(s.t.Context(), st, there) }()
			s.t.Cleanup(func() { here.Close(); <-done })
			return remote.OpenConn(here), mirror.Options{From: "ssh://there/store"}
		},
		"directory": func() (*imagestore.Store, mirror.Options) {
			st, err := imagestore.Open(s.dir)
			if err != nil {
				s.t.Fatal(err)
			}
			return st, mirror.Options{}
		},
	}
}

// TestCopyFromRolledBack rolls a source back, forks it, takes its signature away, lets it expire and has others
// sign it. Whoever has seen it before refuses it, by the memory of the receiving store and by that of the user,
// before anything is written.
func TestCopyFromRolledBack(t *testing.T) {
	for _, memory := range []string{"store", "user"} {
		for _, way := range []string{"http", "stdio", "directory"} {
			t.Run(memory+" "+way, func(t *testing.T) {
				s := newSite(t, time.Hour)
				put := func(name string, b []byte) {
					t.Helper()
					if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				get := func(name string) []byte {
					t.Helper()
					b, err := os.ReadFile(filepath.Join(s.dir, name))
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
				serve := func() { // the server's own copy signs anew where it is asked to
					s.instead = map[string][]byte{head.Path: get("catalog.head")}
				}
				s.publish("web:1@amd64", oneWay(1))
				oldLog, oldHead := get("catalog"), get("catalog.head")
				s.publish("web:2@amd64", oneWay(2))
				newLog, newHead := get("catalog"), get("catalog.head")
				userDir := filepath.Join(t.TempDir(), "seen")
				to := s.another()
				pull := func(to *fixture) error {
					from, o := s.ways()[way]()
					o.Images, o.Seen = []string{"web:1"}, head.OpenSeenDir(userDir)
					_, err := mirror.Copy(t.Context(), to.s, from, o)
					return err
				}
				if err := pull(to); err != nil {
					t.Fatal(err)
				}
				fresh := s.another
				if memory == "store" {
					// The same receiving store, by a user who has seen nothing.
					userDir = filepath.Join(t.TempDir(), "other")
					fresh = func() *fixture {
						f := s.another()
						if err := os.CopyFS(filepath.Join(f.dir, "seen"),
							os.DirFS(filepath.Join(to.dir, "seen"))); err != nil {
							t.Fatal(err)
						}
						return f
					}
				}
				now, err := head.Peek(newHead)
				if err != nil {
					t.Fatal(err)
				}
				expired, forked := now, now
				expired.Expires = time.Now().Add(-time.Minute)
				forked.SHA256 = blob.Sum([]byte("x")).Hex()
				for _, c := range []struct {
					name      string
					log, head []byte
					want      error
				}{
					{"the same", newLog, newHead, nil},
					{"an old copy", oldLog, oldHead, head.ErrRollback},
					{"another history", newLog, s.sign(forked, s.site), head.ErrRollback},
					{"no head", newLog, nil, head.ErrRollback},
					{"expired", newLog, s.sign(expired, s.site), head.ErrExpired},
					{"forged", newLog, bytes.Replace(newHead, []byte(`"seq":4`), []byte(`"seq":9`), 1), nil},
					{"a publisher's", newLog, s.sign(now, s.key), minisign.ErrSignature},
				} {
					if c.name == "no head" && way == "directory" {
						continue // nothing says that the directory was the site's
					}
					put("catalog", c.log)
					if put("catalog.head", c.head); c.head == nil {
						os.Remove(filepath.Join(s.dir, "catalog.head"))
						s.instead = map[string][]byte{head.Path: nil}
					} else {
						serve()
					}
					f := fresh()
					err := pull(f)
					switch {
					case c.name == "forged" && !errors.Is(err, minisign.ErrSignature) &&
						!errors.Is(err, head.ErrRollback), c.name != "forged" && !errors.Is(err, c.want):
						t.Errorf("%s: %v, want %v", c.name, err, c.want)
					}
					if list, lerr := f.s.List(t.Context()); lerr != nil || (len(list) != 0) != (err == nil) {
						t.Errorf("%s: there is %v (%v)", c.name, refs(list), lerr)
					}
					if blobs, err := os.ReadDir(filepath.Join(f.dir, "blobs", "sha256")); c.name != "the same" &&
						(err != nil || len(blobs) > 0) {
						t.Errorf("%s: blobs were written: %v, %v", c.name, blobs, err)
					}
				}
			})
		}
	}
}

func oneWay(n byte) way { return way{"", imagetest.Bytes(n, 1000)} }

// TestCopyFromStranger has a server name another key than that which it was seen with, and one that is revoked here.
func TestCopyFromStranger(t *testing.T) {
	s := newSite(t, 0)
	s.old = true // what follows a refused log
	s.publish("web:1@amd64", oneWay(1))
	to := s.another()
	pull := func() error {
		from, o := s.ways()["http"]()
		o.Images = []string{"web"}
		_, err := mirror.Copy(t.Context(), to.s, from, o)
		return err
	}
	other := imagetest.NewKey(t)
	s.instead[remote.SitePath] = []byte(other.Public().String())
	if err := pull(); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("a head that is not by the key which is named: %v", err)
	}
	s.instead[remote.SitePath] = bytes.Repeat([]byte("RW"), 1<<20)
	if err := pull(); err == nil {
		t.Error("a key that is none is taken")
	}
	delete(s.instead, remote.SitePath)
	if err := pull(); err != nil {
		t.Fatal(err)
	}
	s.instead[remote.SitePath] = []byte(other.Public().String())
	s.instead[head.Path] = s.sign(head.Head{Seq: 50, SHA256: blob.Sum(nil).Hex(), Time: time.Now()}, other)
	if err := pull(); !errors.Is(err, head.ErrRollback) {
		t.Errorf("another site at the same URL: %v", err)
	}
	s.instead = map[string][]byte{}
	to.grant(document.SiteGrant(s.site.Public()))
	if err := to.s.Revoke(t.Context(), s.site.Public()); err != nil {
		t.Fatal(err)
	}
	if err := pull(); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("a site whose key is revoked here: %v", err)
	}
}

// elsewhere serves the site's store at another address, and without TLS where plain is set.
func (s *site) elsewhere(plain bool, h http.HandlerFunc) *imagestore.Store {
	s.t.Helper()
	return s.elsewhereAs(plain, h, remote.ServerOptions{})
}

// elsewhereAs is the same for a client with a token, or one that remembers.
func (s *site) elsewhereAs(plain bool, h http.HandlerFunc, o remote.ServerOptions) *imagestore.Store {
	s.t.Helper()
	start := httptest.NewTLSServer
	if plain {
		start = httptest.NewServer
	}
	srv := start(h)
	s.t.Cleanup(srv.Close)
	o.URL, o.Client = srv.URL, srv.Client()
	st, err := remote.Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// TestCopyFromStripped takes from the catalog of a site that was seen what makes it the newest: its head, its log, or
// only the list of images, at the address that was seen and at others. A client that has seen the site refuses each.
func TestCopyFromStripped(t *testing.T) {
	s := newSite(t, time.Hour)
	s.publish("web:1@amd64", oneWay(1))
	oldLog := s.get(remote.CatalogPath)
	oldList := s.get(remote.ImagesPath)
	s.publish("web:2@amd64", oneWay(2))
	memory := head.OpenSeenDir(filepath.Join(t.TempDir(), "seen"))
	pull := func(from *imagestore.Store, o mirror.Options) (*fixture, error) {
		to := s.another()
		o.Images, o.Seen = []string{"web"}, memory
		_, err := mirror.Copy(t.Context(), to.s, from, o)
		return to, err
	}
	from, o := s.ways()["http"]()
	if _, err := pull(from, o); err != nil {
		t.Fatal(err)
	}
	h := remote.Handler(s.s, nil)
	instead := func(what map[string][]byte, denied ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, d := range denied {
				if r.URL.Path == d {
					deniesLog(w, r)
					return
				}
			}
			b, ok := what[r.URL.Path]
			switch {
			case ok && b == nil:
				http.NotFound(w, r)
			case ok:
				w.Write(b)
			default:
				h.ServeHTTP(w, r)
			}
		}
	}
	unsigned, err := imagestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unsigned.Dir(), "catalog"), logOf(t, s), 0o644); err != nil {
		t.Fatal(err)
	}
	tokened, err := remote.Open(remote.ServerOptions{URL: s.srv.URL, Client: s.srv.Client(), Token: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		from     *imagestore.Store
		unsigned bool
		want     error
	}{
		{"no head, at another address", s.elsewhere(false, instead(map[string][]byte{head.Path: nil})),
			false, head.ErrRollback},
		{"no head and an old log, over http", s.elsewhere(true,
			instead(map[string][]byte{head.Path: nil, remote.CatalogPath: oldLog, remote.ImagesPath: oldList})),
			false, head.ErrRollback},
		{"no head, no log and an old list", s.elsewhere(true, instead(map[string][]byte{head.Path: nil,
			remote.SitePath: nil, remote.ImagesPath: oldList}, remote.CatalogPath)), false, head.ErrUnsigned},
		{"the same, said to be right", s.elsewhere(true, instead(map[string][]byte{head.Path: nil, remote.SitePath: nil,
			remote.ImagesPath: oldList}, remote.CatalogPath)), true, nil},
		{"no head, said to be right, with a log that names the site",
			s.elsewhere(true, instead(map[string][]byte{head.Path: nil})), true, head.ErrRollback},
		{"the newest head, no log and an old list", s.elsewhere(true,
			instead(map[string][]byte{remote.ImagesPath: oldList}, remote.CatalogPath)), false, head.ErrRollback},
		{"the newest head and an old log", s.elsewhere(true, instead(map[string][]byte{remote.CatalogPath: oldLog})),
			false, head.ErrRollback},
		{"nothing at all", s.elsewhere(true, instead(map[string][]byte{head.Path: nil, remote.SitePath: nil,
			remote.CatalogPath: {}, remote.ImagesPath: []byte("[]")})), false, head.ErrUnsigned},
		{"a directory without its head", unsigned, false, head.ErrRollback},
		{"everything, at another address", s.elsewhere(true, h.ServeHTTP), false, nil},
	} {
		to, err := pull(c.from, mirror.Options{Unsigned: c.unsigned})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if list, lerr := to.s.List(t.Context()); lerr != nil || (len(list) != 0) != (c.want == nil) {
			t.Errorf("%s: there is %v (%v)", c.name, refs(list), lerr)
		}
	}
	// The holder of a token is asked for no less.
	s.instead = map[string][]byte{head.Path: nil}
	if _, err := pull(tokened, mirror.Options{}); !errors.Is(err, head.ErrRollback) {
		t.Errorf("no head, with a token: %v, want %v", err, head.ErrRollback)
	}
	s.instead = map[string][]byte{head.Path: nil}
	for _, token := range []string{"", "x"} {
		elsewhere := s.elsewhereAs(false, instead(map[string][]byte{head.Path: nil, remote.CatalogPath: oldLog}),
			remote.ServerOptions{Seen: memory, Token: token})
		if _, err := elsewhere.List(t.Context()); !errors.Is(err, head.ErrRollback) {
			t.Errorf("listing without a head, with the token %q: %v, want %v", token, err, head.ErrRollback)
		}
	}
}

// logOf is the file of the log of a site.
func logOf(t *testing.T, s *site) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "catalog"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestListIsHeldAgainstHead lists over https without a token: the log that is shown must be the one that is signed.
func TestListIsHeldAgainstHead(t *testing.T) {
	s := newSite(t, time.Hour)
	s.publish("web:1@amd64", oneWay(1))
	open := func() *imagestore.Store {
		st, err := remote.Open(remote.ServerOptions{URL: s.srv.URL, Client: s.srv.Client(),
			Seen: head.OpenSeenDir(t.TempDir())})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	if list, err := st.List(t.Context()); err != nil || len(list) != 1 || list[0].Untrusted != "" {
		t.Errorf("List = %s, %v", refs(list), err)
	}
	s.instead[remote.ImagesPath] = mustJSON(t, []catalog.Listed{})
	s.old = true
	if _, err := st.List(t.Context()); !errors.Is(err, head.ErrRollback) {
		t.Errorf("a list in place of the log = %v, want %v", err, head.ErrRollback)
	}
	if list, err := open().List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("a server of an earlier version, seen the first time = %s, %v", refs(list), err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTokenFollowsNoRedirection has a server send its client elsewhere: to another host, and from https to http.
func TestTokenFollowsNoRedirection(t *testing.T) {
	var shown []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	st, err := remote.Open(remote.ServerOptions{URL: srv.URL, Client: srv.Client(), Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.List(t.Context()); err == nil {
		t.Error("a redirected list is taken")
	}
	if _, err := st.Head(t.Context()); err == nil {
		t.Error("a redirected head is taken")
	}
	if rc, err := st.Blobs.Open(t.Context(), blob.Sum(nil), 0, -1); err == nil {
		rc.Close()
		t.Error("a redirected blob is taken")
	}
	if len(shown) > 0 {
		t.Errorf("the other server was shown %q", shown)
	}
}
