package simplestreams

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func source(name, version, content string) Source {
	return Source{
		Image:  Image{Name: name, Version: version, Arch: "amd64"},
		Digest: "sha256:" + content,
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

// files lists a published directory, locks left out.
func files(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	deep, err := filepath.Glob(filepath.Join(dir, "streams/v1/*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(all, deep...)
}

// get reads a path as a client does.
func get(t *testing.T, h http.Handler, path string) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+path, nil))
	return w.Code, w.Body.Bytes()
}

// check follows the documents as a client does, and compares every digest.
func check(t *testing.T, dir string) products {
	t.Helper()
	h, err := Handler(dir)
	if err != nil {
		t.Fatal(err)
	}
	code, b := get(t, h, IndexPath)
	var ix index
	if err := json.Unmarshal(b, &ix); code != http.StatusOK || err != nil {
		t.Fatalf("the index is %d %s", code, b)
	}
	code, b = get(t, h, ix.Index["images"].Path)
	var all products
	if err := json.Unmarshal(b, &all); code != http.StatusOK || err != nil {
		t.Fatalf("the images are %d %s", code, b)
	}
	for id, p := range all.Products {
		for v, version := range p.Versions {
			both := sha256.New()
			var want string
			for _, kind := range []string{"lxd.tar.xz", "root.tar.xz", "squashfs"} {
				i, ok := version.Items[kind]
				if !ok {
					continue
				}
				want += i.BothTar + i.BothSquashfs
				code, b := get(t, h, i.Path)
				s := sha256.Sum256(b)
				if code != http.StatusOK || int64(len(b)) != i.Size || hex.EncodeToString(s[:]) != i.SHA256 {
					t.Errorf("%s %s %s is %d, %d bytes, want %+v", id, v, kind, code, len(b), i)
				}
				both.Write(b)
			}
			if got := hex.EncodeToString(both.Sum(nil)); got != want {
				t.Errorf("%s %s: both files are %s, and the document says %s", id, v, got, want)
			}
		}
	}
	return all
}

func TestPublish(t *testing.T) {
	dir, again := t.TempDir(), t.TempDir()
	one, two := source("web", "20261120.1", "one"), source("web", "20261121.1", "two")
	two.Format = Squashfs
	for _, d := range []string{dir, again} {
		if err := Publish(t.Context(), d, []Source{one, two}); err != nil {
			t.Fatal(err)
		}
	}
	if all := check(t, dir); len(all.Products["griddle:web:amd64"].Versions) != 2 {
		t.Errorf("published are %+v", all)
	}
	for i, name := range files(t, dir) {
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		a, err := os.ReadFile(name)
		b, err2 := os.ReadFile(files(t, again)[i])
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("published twice, %s differs", filepath.Base(name))
		}
	}

	// What was made before is not read again, and goes one publication after it is named for the last time.
	one.Open = func() (io.ReadCloser, error) {
		t.Error("a root that was published was opened again")
		return nil, errors.New("no")
	}
	before := len(files(t, dir))
	three := source("web", "20261122", "three")
	for _, c := range []struct {
		sources []Source
		more    int
	}{{[]Source{one, three}, 2}, {[]Source{one, three}, 0}, {[]Source{one}, 0}, {[]Source{one}, -2}} {
		if err := Publish(t.Context(), dir, c.sources); err != nil {
			t.Fatal(err)
		}
		check(t, dir)
		if got := len(files(t, dir)); got != before+c.more {
			t.Errorf("with %d images there are %d files, want %d", len(c.sources), got, before+c.more)
		}
	}
}

func TestPublishFails(t *testing.T) {
	dir := t.TempDir()
	one := source("web", "20261120.1", "one")
	if err := Publish(t.Context(), dir, []Source{one}); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	broken := source("web", "20261121.1", "")
	broken.Digest = ""
	fault := errors.New("the disk is broken")
	broken.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("ha"), failing{fault})), nil
	}
	if err := Publish(t.Context(), dir, []Source{one, broken}); !errors.Is(err, fault) {
		t.Errorf("Publish = %v, want %v", err, fault)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Publish(ctx, dir, []Source{one, source("web", "20261121.2", "more")}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, Publish = %v", err)
	}
	bad := source("web", "1", "bad")
	if err := Publish(t.Context(), dir, []Source{one, bad}); err == nil {
		t.Error("a version without a day was published")
	}
	check(t, dir)
	if err := Publish(t.Context(), dir, []Source{one}); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); !slices.Equal(after, before) {
		t.Errorf("after failures there are %v, want %v", after, before)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHandler(t *testing.T) {
	dir := t.TempDir()
	if err := Publish(t.Context(), dir, []Source{source("web", "20261120.1", "one")}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "images", strings.Repeat("0", 64)+".squashfs")); err != nil {
		t.Fatal(err)
	}
	h, err := Handler(dir)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"": 404, "images": 404, "images/": 404, "secret": 404, "streams/v1": 404,
		"streams/v1/../../secret": 404, ".lock": 404, "images/" + strings.Repeat("0", 64) + ".squashfs": 404,
		"images/" + strings.Repeat("1", 64) + ".lxd.tar": 404, IndexPath: 200, ImagesPath: 200,
	} {
		if code, b := get(t, h, path); code != want {
			t.Errorf("GET %q = %d %s, want %d", path, code, b, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/"+IndexPath, nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST = %d", w.Code)
	}
}
