package imagestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/remote"
)

// site is a store that a site signs, behind a server that can be told to serve something else instead.
type site struct {
	*fixture
	site    *minisign.SecretKey
	srv     *httptest.Server
	instead map[string][]byte // by path; nil means that it is not there
	old     bool              // it shows its log to those with a token alone, as earlier versions do
}

func deniesLog(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "wrong token", http.StatusForbidden)
}

func newSite(t *testing.T, lifetime time.Duration) *site {
	s := &site{fixture: newFixture(t), instead: map[string][]byte{}}
	s.site = s.keepHead(lifetime)
	h := remote.Handler(s.s, func(*http.Request) error { return nil })
	s.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch b, ok := s.instead[r.URL.Path]; {
		case s.old && r.URL.Path == remote.CatalogPath && r.Header.Get("Authorization") == "":
			deniesLog(w, r)
		case !ok:
			h.ServeHTTP(w, r)
		case b == nil:
			http.NotFound(w, r)
		default:
			w.Write(b)
		}
	}))
	t.Cleanup(s.srv.Close)
	return s
}

// client is somebody who remembers in dir.
func (s *site) client(dir string) *imagestore.Store {
	s.t.Helper()
	o := remote.ServerOptions{URL: s.srv.URL, Token: "x", Client: s.srv.Client()}
	if dir != "" {
		o.Seen = head.OpenSeenDir(dir)
	}
	c, err := remote.Open(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) get(path string) []byte {
	s.t.Helper()
	w := httptest.NewRecorder()
	remote.Handler(s.s, func(*http.Request) error {
		return nil
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s = %d %s", path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func (s *site) sign(h head.Head, k *minisign.SecretKey) []byte {
	s.t.Helper()
	b, err := h.Sign(k)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// TestClientRefuses serves what a mirror, an old backup or somebody in between might.
func TestClientRefuses(t *testing.T) {
	s := newSite(t, time.Hour)
	s.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	oldHead, oldLog := s.get(head.Path), s.get(remote.CatalogPath)
	s.publish("web:2@amd64", way{"", imagetest.Bytes(2, 1000)})
	newHead, newLog := s.get(head.Path), s.get(remote.CatalogPath)
	now, err := head.Peek(newHead)
	if err != nil {
		t.Fatal(err)
	}
	seen := t.TempDir()
	if list, err := s.client(seen).List(t.Context()); err != nil || len(list) != 2 {
		t.Fatalf("List = %s, %v", refs(list), err)
	}
	lines := bytes.SplitAfter(newLog, []byte("\n"))
	fork := bytes.Replace(newLog, []byte("of web:2"), []byte("ov web:2"), 1)
	extra := append(bytes.Clone(newLog), fmt.Sprintf(`{"seq":%d,"time":"2026-01-01T00:00:00Z","kind":"trust","key":%q}`+
		"\n", now.Seq+1, imagetest.NewKey(t).Public())...)
	expired := now
	expired.Expires = time.Now().Add(-time.Minute)
	next := head.Head{Seq: now.Seq + 1, SHA256: logSum(t, extra), Time: time.Now()}
	forkHead := head.Head{Seq: now.Seq, SHA256: logSum(t, fork), Time: time.Now()}
	forkNext := append(bytes.Clone(fork), extra[len(newLog):]...)
	stranger := imagetest.NewKey(t)
	strange := []byte(fmt.Sprintf(`{"seq":1,"time":"2026-01-01T00:00:00Z","kind":"trust","key":%q}`+"\n",
		document.SiteGrant(stranger.Public())))
	for _, c := range []struct {
		name      string
		head, log []byte
		fresh     error // what somebody who has seen nothing yet gets
		want      error // what somebody gets who has seen the newest
		images    int
	}{
		{"nothing else", newHead, newLog, nil, nil, 2},
		{"an old copy", oldHead, oldLog, nil, head.ErrRollback, 1},
		{"an old head", oldHead, newLog, nil, head.ErrRollback, 1},
		{"an old log", newHead, oldLog, head.ErrRollback, head.ErrRollback, 0},
		{"an entry less", newHead, bytes.Join(lines[:len(lines)-2], nil), head.ErrRollback, head.ErrRollback, 0},
		{"another history", newHead, fork, head.ErrRollback, head.ErrRollback, 0},
		{"another history, signed", s.sign(forkHead, s.site), fork, nil, head.ErrRollback, 2},
		{"another history that goes on", s.sign(head.Head{Seq: now.Seq + 1, SHA256: logSum(t, forkNext),
			Time: time.Now()}, s.site), forkNext, nil, head.ErrRollback, 2},
		{"an entry more that nobody signed", newHead, extra, nil, nil, 2},
		{"an entry more", s.sign(next, s.site), extra, nil, nil, 2},
		{"a head by a publisher", s.sign(next, s.key), extra, minisign.ErrSignature, minisign.ErrSignature, 0},
		{"a head by a stranger", s.sign(next, imagetest.NewKey(t)), extra, minisign.ErrSignature,
			minisign.ErrSignature, 0},
		{"a forged head", bytes.Replace(newHead, []byte(`"seq":4`), []byte(`"seq":3`), 1), newLog,
			minisign.ErrSignature, minisign.ErrSignature, 0},
		{"an expired head", s.sign(expired, s.site), newLog, head.ErrExpired, head.ErrExpired, 0},
		{"no head", nil, newLog, nil, head.ErrRollback, 2},
		{"another site", s.sign(head.Head{Seq: 1, SHA256: logSum(t, strange), Time: time.Now()}, stranger), strange,
			nil, head.ErrRollback, 0},
		{"a head that is no head", []byte("hello\n"), newLog, nil, nil, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.instead = map[string][]byte{head.Path: c.head, remote.CatalogPath: c.log}
			check := func(who string, st *imagestore.Store, want error) {
				t.Helper()
				list, err := st.List(t.Context())
				switch {
				case c.images < 0 && err == nil, c.images >= 0 && !errors.Is(err, want),
					want == nil && c.images >= 0 && len(list) != c.images:
					t.Errorf("List by %s = %s, %v, want %d images, %v", who, refs(list), err, c.images, want)
				}
			}
			check("somebody who remembers nothing", s.client(""), c.fresh)
			check("somebody who comes the first time", s.client(t.TempDir()), c.fresh)
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(seen)); err != nil {
				t.Fatal(err)
			}
			check("somebody who has seen the newest", s.client(dir), c.want)
			b, err := os.ReadFile(filepath.Join(dir, s.site.Public().ID()))
			if c.want != nil &&
				(err != nil || !strings.Contains(string(b), fmt.Sprintf(`"seq":%d,"sha256":%q`, now.Seq, now.SHA256))) {
				t.Errorf("after a refusal it remembers %s, %v", b, err)
			}
		})
	}
}

// logSum is the SHA-256 of the log whose JSON lines those are.
func logSum(t *testing.T, lines []byte) string {
	t.Helper()
	var log []byte
	for js := range bytes.Lines(lines) {
		js = bytes.TrimSuffix(js, []byte("\n"))
		log = fmt.Appendf(log, "%s %s\n", blob.Sum(js).Hex(), js)
	}
	return blob.Sum(log).Hex()
}

// TestSeenFollows uses a store over a server that signs, from one change to the next.
func TestSeenFollows(t *testing.T) {
	s := newSite(t, 0)
	dir := filepath.Join(t.TempDir(), "a", "seen")
	c := &fixture{t, s.dir, s.client(dir), s.key}
	for i := range 3 {
		c.publish(fmt.Sprintf("web:%d@amd64", i), way{"", imagetest.Bytes(byte(i), 500)})
		if list, err := c.s.List(t.Context()); err != nil || len(list) != i+1 {
			t.Errorf("List = %s, %v", refs(list), err)
		}
		seen, path, err := head.OpenSeenDir(dir).At(s.srv.URL)
		if err != nil || path != filepath.Join(dir, s.site.Public().ID()) || seen.Key != s.site.Public().String() ||
			seen.Seq != int64(i+3) {
			t.Errorf("after publication %d it remembers %+v in %s, %v", i, seen, path, err)
		}
	}
	if seen, _, err := head.OpenSeenDir(dir).At("https://elsewhere:1"); err != nil || seen.Seq != 0 {
		t.Errorf("of another server it remembers %+v, %v", seen, err)
	}
	if i, err := os.Stat(dir); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("mode of what is remembered is %v, %v", i.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, s.site.Public().ID()), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.s.List(t.Context()); err == nil || !strings.Contains(err.Error(), s.site.Public().ID()) {
		t.Errorf("List with a damaged memory = %v", err)
	}
	// A revoked site key signs nothing that counts.
	if err := s.s.Revoke(t.Context(), s.site.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client("").List(t.Context()); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("List where the site's key is revoked = %v", err)
	}
}
