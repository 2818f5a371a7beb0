package imagestore_test

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

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// keepHead makes f's store one that a site signs, and returns the site's key.
func (f *fixture) keepHead(lifetime time.Duration) *minisign.SecretKey {
	f.t.Helper()
	k := imagetest.NewKey(f.t)
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
func (f *fixture) head(k *minisign.SecretKey) head.Head {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "catalog.head"))
	if err != nil {
		f.t.Fatal(err)
	}
	h, _, err := head.Open(b, siteTrust(k))
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
	if _, err := f.s.Head(t.Context()); !errors.Is(err, head.ErrMissing) {
		t.Errorf("Head of a store that nobody signs = %v", err)
	}
	k := f.keepHead(24 * time.Hour)
	first := f.head(k)
	if first.Seq != 2 || first.Expires.Sub(first.Time) != 24*time.Hour {
		t.Errorf("the first head is %+v", first)
	}
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	if h := f.head(k); h.Seq != 3 {
		t.Errorf("after a publication the head is %+v", h)
	}
	// Somebody without the key changes the catalog: the head stays true, and is repaired when it is asked for.
	other, err := imagestore.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	(&fixture{t, f.dir, other, f.key}).publish("web:2@amd64", way{"", imagetest.Bytes(2, 1000)})
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
	if err := other.KeepHead(t.Context(), imagetest.NewKey(t), 0); !errors.Is(err, minisign.ErrSignature) {
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
	minisign := imagetest.Need(t, "minisign")
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
		f.publish(fmt.Sprintf("web:%d@amd64", i), way{"", imagetest.Bytes(1, 1000)})
	}
	foreign, err := head.Head{Seq: 900, SHA256: blob.Sum(nil).Hex(), Time: time.Now()}.Sign(imagetest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"old": old, "torn": old[:len(old)/2], "empty": nil,
		"another key's": foreign} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := imagestore.Open(f.dir)
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
	f.publish("web:9@amd64", way{"", imagetest.Bytes(1, 1000)})
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
			f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
			path := filepath.Join(f.dir, "catalog")
			log, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := change(log)
			if err := os.WriteFile(path, changed, 0o644); err != nil { // the same file, as cp writes it
				t.Fatal(err)
			}
			if _, err := f.s.Add(t.Context(),
				f.image("web:7@amd64", way{"", imagetest.Bytes(2, 1000)})); !errors.Is(err, head.ErrLost) {
				t.Errorf("Add = %v, want %v", err, head.ErrLost)
			}
			if _, err := f.s.Head(t.Context()); !errors.Is(err, head.ErrLost) {
				t.Errorf("Head = %v, want %v", err, head.ErrLost)
			}
			s, err := imagestore.Open(f.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.KeepHead(t.Context(), k, 0); !errors.Is(err, head.ErrLost) {
				t.Errorf("KeepHead = %v, want %v", err, head.ErrLost)
			}
			if _, err := s.SignHead(t.Context(), k, time.Now(), time.Time{}); !errors.Is(err, head.ErrLost) {
				t.Errorf("SignHead = %v, want %v", err, head.ErrLost)
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
	f.s.Catalog.(*catalog.Local).Now = func() time.Time { return now }
	ask := func() head.Head {
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
	s, err := imagestore.Open(f.dir) // another process, on a machine without a server
	if err != nil {
		t.Fatal(err)
	}
	far := now.Add(5000 * time.Hour)
	h, err := s.SignHead(t.Context(), k, now, far)
	if err != nil || h != f.head(k) || h.Expires.Sub(far).Abs() > time.Second {
		t.Errorf("SignHead = %+v, %v", h, err)
	}
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	if h := f.head(k); h.Seq != 3 || h.Expires.Sub(far).Abs() > time.Second {
		t.Errorf("a change took the extension back: %+v", h)
	}
	if _, err := s.SignHead(t.Context(), imagetest.NewKey(t), now, far); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("SignHead with a foreign key = %v", err)
	}
	for at, want := range map[time.Time]error{h.Expires.Add(-time.Second): nil, h.Expires: nil,
		h.Expires.Add(time.Second): head.ErrExpired, time.Unix(0, 0): nil} {
		if err := h.Check(at); !errors.Is(err, want) {
			t.Errorf("Check at %s = %v, want %v", at, err, want)
		}
	}
	if err := (head.Head{}).Check(now); err != nil {
		t.Errorf("Check of a head for ever = %v", err)
	}
}
