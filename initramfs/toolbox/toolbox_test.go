package toolbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"

	"griddle/appliance/site"
	"griddle/initramfs"
)

const publicCA = "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n"

// records are a small archive.
func records() []cpio.Record {
	return []cpio.Record{
		cpio.StaticFile("usr/bin/griddle-test-tool", "#!/bin/sh\necho works\n", 0o755),
		cpio.Symlink("usr/bin/griddle-test-link", "griddle-test-tool"),
		cpio.StaticFile("etc/tool.conf", "new\n", 0o600),
		cpio.StaticFile(bundle, publicCA, 0o644),
		cpio.StaticFile("usr/share/empty", "", 0o644),
	}
}

// pack makes an archive as mkboot does.
func pack(t testing.TB, rs []cpio.Record) ([]byte, *initramfs.Archive) {
	t.Helper()
	var raw bytes.Buffer
	if err := site.WriteCPIO(&raw, rs); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	z := enc.EncodeAll(raw.Bytes(), nil)
	sum := sha256.Sum256(z)
	a := &initramfs.Archive{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(z))}
	for _, r := range rs {
		a.Unpacked += int64(r.FileSize)
	}
	return z, a
}

// box is a Box with an archive, on a server that counts its requests and answers with answer.
func box(t *testing.T, a *initramfs.Archive, answer http.HandlerFunc) (*Box, *atomic.Int32) {
	t.Helper()
	asked := &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if want := "/boot/tools/" + a.Name(); r.URL.Path != want {
			t.Errorf("asked for %s, want %s", r.URL.Path, want)
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return &Box{Archive: a, Server: s.URL, Root: t.TempDir(), State: filepath.Join(t.TempDir(), "state"),
		memory: func() (int64, error) { return 1 << 40, nil }}, asked
}

func bytesOf(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

func TestNeed(t *testing.T) {
	z, a := pack(t, records())
	b, asked := box(t, a, bytesOf(z))
	b.CA = []byte("-----BEGIN CERTIFICATE-----\nsite\n-----END CERTIFICATE-----\n")
	var told []string
	var last int64
	b.Tell = func(s string) { told = append(told, s) }
	b.Progress = func(done, total int64) {
		if last = done; total != a.Size {
			t.Errorf("the progress has a total of %d, want %d", total, a.Size)
		}
	}
	t.Setenv("PATH", filepath.Join(b.Root, "usr/bin")+":"+os.Getenv("PATH"))
	if err := b.Need(t.Context(), "sh"); err != nil || asked.Load() != 0 {
		t.Fatalf("Need of what is there = %v, after %d requests, want none", err, asked.Load())
	}
	if b.Has() {
		t.Error("the archive is there before it was fetched")
	}
	// What an earlier version of the boot image left is replaced, and parts of an earlier try too.
	for name, text := range map[string]string{"etc/tool.conf": "old", "etc/tool.conf.griddle-new": "a part"} {
		if err := os.MkdirAll(filepath.Join(b.Root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(b.Root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Need(t.Context(), "sh", "griddle-test-tool", "griddle-test-link"); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.Contains(told[0], b.Server) ||
		!strings.Contains(told[0], "griddle-test-tool, griddle-test-link is not in the boot image") {
		t.Errorf("said %q, want one sentence with the server and what is missing", told)
	}
	if last != a.Size || !b.Has() {
		t.Errorf("the progress ended with %d of %d, Has = %v", last, a.Size, b.Has())
	}
	for name, want := range map[string]string{"usr/bin/griddle-test-link": "#!/bin/sh\necho works\n",
		"etc/tool.conf": "new\n", bundle: publicCA + string(b.CA), "usr/share/empty": ""} {
		if got, err := os.ReadFile(filepath.Join(b.Root, name)); string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(b.Root, "etc/tool.conf")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of a file = %v, %v, want 0600", info.Mode(), err)
	}
	if err := b.Fetch(t.Context()); err != nil || asked.Load() != 1 {
		t.Errorf("Fetch of what is there = %v, after %d requests, want one", err, asked.Load())
	}
	err := b.Need(t.Context(), "griddle-no-such-tool")
	if err == nil || !strings.Contains(err.Error(), "neither in the boot image nor in its tools archive") {
		t.Errorf("Need of what does not exist = %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.State, "archive-*")); len(left) > 0 {
		t.Errorf("%q is left in memory", left)
	}
}

// Everything that can go wrong leaves no tool behind, says what to do, and can be repeated.
func TestFailures(t *testing.T) {
	z, a := pack(t, records())
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		memory int64
		again  bool
		want   string
	}{
		{"missing", http.NotFound, 1 << 40, false, "boot this machine again from the network"},
		{"an error of the server", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 1 << 40, true,
			"503"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, 1 << 40, false, "302"},
		{"it stops in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(z[:len(z)/2])
		}, 1 << 40, true, "unexpected EOF"},
		{"shorter", bytesOf(z[:len(z)/2]), 1 << 40, false, "is not what this boot image names"},
		{"longer", bytesOf(append(bytes.Clone(z), 0)), 1 << 40, false, "is not what this boot image names"},
		{"one bit", bytesOf(append([]byte{z[0] ^ 1}, z[1:]...)), 1 << 40, false, "is not what this boot image names"},
		{"too little memory", bytesOf(z), 60 << 20, false, "add memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := box(t, a, c.answer)
			b.memory = func() (int64, error) { return c.memory, nil }
			err := b.Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Fetch = %v, want an error with %q", err, c.want)
			}
			if again := errors.Is(err, ErrUnreachable); again != c.again {
				t.Errorf("%v is worth another try: %v, want %v", err, again, c.again)
			}
			if left, _ := os.ReadDir(b.Root); len(left) > 0 || b.Has() {
				t.Errorf("%v is there after a failure", left)
			}
			good, _ := box(t, a, bytesOf(z))
			b.Server, b.memory = good.Server, good.memory
			if err := b.Fetch(t.Context()); err != nil || !b.Has() {
				t.Errorf("Fetch after a failure = %v", err)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	_, a := pack(t, records())
	b, _ := box(t, a, nil)
	b.Server = "http://127.0.0.1:1"
	if err := b.Fetch(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Fetch without a server = %v, want %v", err, ErrUnreachable)
	}
	if err := (&Box{}).Fetch(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("Fetch of an image without an archive = %v, want %v", err, ErrNone)
	}
	b.Archive = &initramfs.Archive{SHA256: "../../etc/shadow", Size: 1, Unpacked: 1}
	if err := b.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot exist") {
		t.Errorf("Fetch of a bad name = %v", err)
	}
}

// While one process fetches, others wait; one that gives up meanwhile disturbs no other.
func TestTogether(t *testing.T) {
	z, a := pack(t, records())
	begun, more := make(chan struct{}), make(chan struct{})
	b, asked := box(t, a, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-more
		_, _ = w.Write(z)
	})
	var all sync.WaitGroup
	fetch := func(ctx context.Context, want error) {
		one := *b
		if err := one.Fetch(ctx); !errors.Is(err, want) {
			t.Errorf("Fetch = %v, want %v", err, want)
		}
	}
	all.Go(func() { fetch(t.Context(), nil) })
	<-begun
	for range 3 {
		all.Go(func() { fetch(t.Context(), nil) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fetch(ctx, context.Canceled)
	close(more)
	all.Wait()
	if asked.Load() != 1 || !b.Has() {
		t.Errorf("fetched %d times, Has = %v", asked.Load(), b.Has())
	}
}

func TestAvailable(t *testing.T) {
	for in, want := range map[string]int64{
		"MemTotal:  1 kB\nMemAvailable:     474892 kB\nBuffers: 3 kB\n": 474892 << 10,
		"MemTotal:  1 kB\n":                  -1,
		"MemAvailable: many kB\n":            -1,
		"MemAvailable: -4 kB\n":              -1,
		"MemAvailable: 99999999999999999999": -1,
	} {
		got, err := parseAvailable([]byte(in))
		if want < 0 && err == nil || want >= 0 && got != want {
			t.Errorf("parseAvailable(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	if n, err := available(); err != nil || n <= 0 {
		t.Errorf("available = %d, %v", n, err)
	}
}
