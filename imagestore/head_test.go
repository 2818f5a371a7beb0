package imagestore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// keepHead makes f's store one that a site signs, and returns the site's key.
func (f *fixture) keepHead(lifetime time.Duration) *minisign.SecretKey {
	f.t.Helper()
	k := newKey(f.t)
	f.grant(document.SiteGrant(k.Public()))
	if err := f.s.KeepHead(f.t.Context(), k, lifetime); err != nil {
		f.t.Fatal(err)
	}
	return k
}

func siteTrust(k *minisign.SecretKey) *document.Trust {
	t := &document.Trust{}
	t.Allow(document.SiteGrant(k.Public()))
	return t
}

// head reads the head that is on the disk and checks it against the log that is there.
func (f *fixture) head(k *minisign.SecretKey) Head {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "catalog.head"))
	if err != nil {
		f.t.Fatal(err)
	}
	h, _, err := OpenHead(b, siteTrust(k))
	if err != nil {
		f.t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(f.dir, "catalog"))
	if err != nil {
		f.t.Fatal(err)
	}
	lines := bytes.SplitAfter(log, []byte("\n"))
	if sum := blob.Sum(bytes.Join(lines[:h.Seq], nil)).Hex(); sum != h.SHA256 {
		f.t.Errorf("the head says %s of %d entries, which are %s", h.SHA256, h.Seq, sum)
	}
	return h
}

func TestHeadFollowsCatalog(t *testing.T) {
	f := newFixture(t)
	if _, err := f.s.Head(t.Context()); !errors.Is(err, ErrNoHead) {
		t.Errorf("Head of a store that nobody signs = %v", err)
	}
	k := f.keepHead(24 * time.Hour)
	first := f.head(k)
	if first.Seq != 2 || first.Expires.Sub(first.Time) != 24*time.Hour {
		t.Errorf("the first head is %+v", first)
	}
	f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
	if h := f.head(k); h.Seq != 3 {
		t.Errorf("after a publication the head is %+v", h)
	}
	// Somebody without the key changes the catalog: the head stays true, and is repaired when it is asked for.
	other, err := Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	(&fixture{t, f.dir, other, f.key}).publish("web:2@amd64", way{"", someBytes(2, 1000)})
	if h := f.head(k); h.Seq != 3 {
		t.Errorf("a store without the site's key wrote the head %+v", h)
	}
	if b, err := other.Head(t.Context()); err != nil || !bytes.Contains(b, []byte(`"seq":3,`)) {
		t.Errorf("Head in a store without the key = %q, %v", b, err)
	}
	if b, err := f.s.Head(t.Context()); err != nil || !bytes.Contains(b, []byte(`"seq":4,`)) {
		t.Errorf("Head = %q, %v", b, err)
	}
	f.head(k)
	if err := other.KeepHead(t.Context(), newKey(t), 0); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("KeepHead with a key that the catalog does not know = %v", err)
	}
	if err := other.KeepHead(t.Context(), f.key, 0); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("KeepHead with a publisher's key = %v", err)
	}
	if err := f.overServer().s.KeepHead(t.Context(), k, 0); err == nil {
		t.Error("KeepHead of a store on a server gave no error")
	}
}

// TestMinisignReadsHead has minisign check one as docs/FORMAT.md says.
func TestMinisignReadsHead(t *testing.T) {
	minisign := need(t, "minisign")
	f := newFixture(t)
	k := f.keepHead(0)
	b, err := f.s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line, sig, _ := strings.Cut(string(b), "\n")
	m := filepath.Join(t.TempDir(), "m")
	for p, text := range map[string]string{m: line + "\n", m + ".minisig": sig} {
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(minisign, "-Vm", m, "-P", k.Public().String()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "griddle catalog 2 timestamp:") {
		t.Errorf("minisign -V: %v\n%s", err, out)
	}
	if strings.Contains(line, "expires") {
		t.Errorf("a head for ever has an expiry: %s", line)
	}
}

// TestHeadAfterCrash finds a head some entries older than the log, a torn one, and one of an earlier key of the site.
func TestHeadAfterCrash(t *testing.T) {
	f := newFixture(t)
	k := f.keepHead(time.Hour)
	path := filepath.Join(f.dir, "catalog.head")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		f.publish(fmt.Sprintf("web:%d@amd64", i), way{"", someBytes(1, 1000)})
	}
	foreign, err := Head{Seq: 900, SHA256: blob.Sum(nil).Hex(), Time: time.Now()}.sign(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"old": old, "torn": old[:len(old)/2], "empty": nil, "another key's": foreign} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != 3 {
			t.Errorf("with a head that is %s there are %d images, %v", name, len(list), err)
		}
		if err := s.KeepHead(t.Context(), k, time.Hour); err != nil {
			t.Errorf("KeepHead with a head that is %s = %v", name, err)
		}
		if h := f.head(k); h.Seq != 5 {
			t.Errorf("after a head that was %s it is %+v", name, h)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.publish("web:9@amd64", way{"", someBytes(1, 1000)})
	if h := f.head(k); h.Seq != 6 {
		t.Errorf("after the head was removed it is %+v", h)
	}
}

// TestKeeperNoticesLostEntries cuts the log, and changes it, behind its signed head.
func TestKeeperNoticesLostEntries(t *testing.T) {
	for name, change := range map[string]func(log []byte) []byte{
		"cut": func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] },
		"another history": func(b []byte) []byte {
			end := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
			js := bytes.Replace(b[end+65:len(b)-1], []byte("of web"), []byte("ov web"), 1)
			return fmt.Appendf(bytes.Clone(b[:end]), "%s %s\n", blob.Sum(js).Hex(), js)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			k := f.keepHead(0)
			f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
			path := filepath.Join(f.dir, "catalog")
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := change(log)
			if err := os.WriteFile(path, changed, 0o644); err != nil { // the same file, as cp writes it
				t.Fatal(err)
			}
			if _, err := f.s.Add(t.Context(), f.image("web:7@amd64", way{"", someBytes(2, 1000)})); !errors.Is(err, ErrLost) {
				t.Errorf("Add = %v, want %v", err, ErrLost)
			}
			if _, err := f.s.Head(t.Context()); !errors.Is(err, ErrLost) {
				t.Errorf("Head = %v, want %v", err, ErrLost)
			}
			s, err := Open(f.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.KeepHead(t.Context(), k, 0); !errors.Is(err, ErrLost) {
				t.Errorf("KeepHead = %v, want %v", err, ErrLost)
			}
			if _, err := s.SignHead(t.Context(), k, time.Now(), time.Time{}); !errors.Is(err, ErrLost) {
				t.Errorf("SignHead = %v, want %v", err, ErrLost)
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, changed) {
				t.Errorf("the log was written, %v", err)
			}
		})
	}
}

// TestHeadExpiry extends one, and lets the keeper renew it.
func TestHeadExpiry(t *testing.T) {
	f := newFixture(t)
	k := f.keepHead(100 * time.Hour)
	now := time.Now()
	keeper := f.s.Catalog.(*localCatalog).head
	keeper.now = func() time.Time { return now }
	ask := func() Head {
		t.Helper()
		if _, err := f.s.Head(t.Context()); err != nil {
			t.Fatal(err)
		}
		return f.head(k)
	}
	first := ask()
	now = now.Add(40 * time.Hour)
	if h := ask(); h != first {
		t.Errorf("after 40 of 100 hours the head was renewed: %+v", h)
	}
	now = now.Add(20 * time.Hour)
	renewed := ask()
	if got := renewed.Expires.Sub(first.Expires).Round(time.Hour); got != 60*time.Hour {
		t.Errorf("after 60 of 100 hours the head was renewed by %s", got)
	}
	s, err := Open(f.dir) // another process, on a machine without a server
	if err != nil {
		t.Fatal(err)
	}
	far := now.Add(5000 * time.Hour)
	h, err := s.SignHead(t.Context(), k, now, far)
	if err != nil || h != f.head(k) || h.Expires.Sub(far).Abs() > time.Second {
		t.Errorf("SignHead = %+v, %v", h, err)
	}
	f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
	if h := f.head(k); h.Seq != 3 || h.Expires.Sub(far).Abs() > time.Second {
		t.Errorf("a change took the extension back: %+v", h)
	}
	if _, err := s.SignHead(t.Context(), newKey(t), now, far); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("SignHead with a foreign key = %v", err)
	}
	for at, want := range map[time.Time]error{h.Expires.Add(-time.Second): nil, h.Expires: nil, h.Expires.Add(time.Second): ErrExpired, time.Unix(0, 0): nil} {
		if err := h.Check(at); !errors.Is(err, want) {
			t.Errorf("Check at %s = %v, want %v", at, err, want)
		}
	}
	if err := (Head{}).Check(now); err != nil {
		t.Errorf("Check of a head for ever = %v", err)
	}
}

// TestOpenHeadRefuses has heads that bear a signature, and should not count.
func TestOpenHeadRefuses(t *testing.T) {
	site, other := newKey(t), newKey(t)
	good := Head{Seq: 7, SHA256: blob.Sum(nil).Hex(), Time: time.Unix(1.7e9, 0)}
	b, err := good.sign(site)
	if err != nil {
		t.Fatal(err)
	}
	if h, k, err := OpenHead(b, siteTrust(site)); err != nil || h.Seq != 7 || k != site.Public() {
		t.Fatalf("OpenHead = %+v, %v", h, err)
	}
	from := bytes.Index(b, []byte(minisign.CommentPrefix)) + len(minisign.CommentPrefix)
	to := from + bytes.IndexByte(b[from:], '\n')
	for i := range b {
		if bad := bytes.Clone(b); i < from || i >= to {
			bad[i] ^= 1
			if _, _, err := OpenHead(bad, siteTrust(site)); err == nil {
				t.Errorf("byte %d of the head, %q made %q, went unnoticed", i, b[i], bad[i])
			}
		}
	}
	limited, streams := &document.Trust{}, &document.Trust{}
	limited.Allow(grantOf(t, site, "*/*"))
	streams.Allow(document.StreamsGrant(site.Public()))
	for name, trust := range map[string]*document.Trust{
		"nobody": nil, "another site": siteTrust(other), "a publisher": document.NewTrust(site.Public()), "a publisher of some": limited, "another site's streams": streams,
	} {
		if _, _, err := OpenHead(b, trust); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("OpenHead where its key is that of %s = %v", name, err)
		}
	}
	for name, line := range map[string]string{
		"of another site": fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7,"sha256":%q}`, other.Public().ID(), blob.Sum(nil).Hex()),
		"another format":  fmt.Sprintf(`{"format":"griddle-catalog/2","site":%q,"seq":7,"sha256":%q}`, site.Public().ID(), blob.Sum(nil).Hex()),
		"negative":        fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":-1,"sha256":%q}`, site.Public().ID(), blob.Sum(nil).Hex()),
		"without a sum":   fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7}`, site.Public().ID()),
		"too long":        fmt.Sprintf(`{"format":"griddle-catalog/1","site":%q,"seq":7,"sha256":%q,"x":%q}`, site.Public().ID(), blob.Sum(nil).Hex(), strings.Repeat("x", maxHead)),
		"no JSON":         "{",
	} {
		signed := append([]byte(line+"\n"), site.Sign([]byte(line+"\n"), "x")...)
		if _, _, err := OpenHead(signed, siteTrust(site)); err == nil {
			t.Errorf("OpenHead of a head that is %s gave no error", name)
		}
	}
	image, err := document.Sign(someImage(), site, time.Unix(1.7e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenHead(image, siteTrust(site)); err == nil {
		t.Error("an image document was taken for a head")
	}
}

// FuzzOpenHead looks at what is behind a good signature, too.
func FuzzOpenHead(f *testing.F) {
	k, err := minisign.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	trust := siteTrust(k)
	good, err := Head{Seq: 7, SHA256: blob.Sum(nil).Hex(), Time: time.Unix(1.7e9, 0), Expires: time.Unix(1.8e9, 0)}.sign(k)
	if err != nil {
		f.Fatal(err)
	}
	line, _, _ := bytes.Cut(good, []byte("\n"))
	f.Add(good)
	f.Add(line)
	f.Add([]byte(`{"format":"griddle-catalog/1","seq":9223372036854775807,"expires":"9999-12-31T23:59:59Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, _, err := OpenHead(b, trust); err == nil && !bytes.HasPrefix(b, line) {
			t.Errorf("OpenHead accepted %q: %+v", b, h)
		}
		PeekHead(b)
		line := append(bytes.ReplaceAll(b, []byte("\n"), nil), '\n')
		if h, _, err := OpenHead(append(bytes.Clone(line), k.Sign(line, "x")...), trust); err == nil {
			if err := h.validate(); err != nil || h.Site != k.Public().ID() {
				t.Errorf("OpenHead accepted %q: %v", b, err)
			}
		}
	})
}
