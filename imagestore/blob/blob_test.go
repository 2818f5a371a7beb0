package blob_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/blob/blobtest"
)

func openDir(t *testing.T) *blob.Dir {
	t.Helper()
	d, err := blob.OpenDir(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func allow(r *http.Request) error {
	if r.Header.Get("Authorization") != "Bearer right" {
		return errors.New("wrong token")
	}
	return nil
}

func serve(t *testing.T, s blob.Store) *blob.HTTP {
	t.Helper()
	srv := httptest.NewTLSServer(blob.Handler(s, allow))
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute // as net/http's own has one
	return &blob.HTTP{Base: srv.URL, Client: client, Token: "right"}
}

func TestDir(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openDir(t) })
}

func TestHTTP(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return serve(t, openDir(t)) })
}

// plain hides that the store has files, so that the handler has to read through Open.
type plain struct{ blob.Store }

func TestHTTPWithoutFiles(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return serve(t, plain{openDir(t)}) })
}

func TestWritingNeedsTokenAndTLS(t *testing.T) {
	dir := openDir(t)
	good := serve(t, dir)
	open := httptest.NewServer(blob.Handler(dir, allow))
	defer open.Close()
	readOnly := httptest.NewTLSServer(blob.Handler(dir, nil))
	defer readOnly.Close()
	for name, h := range map[string]*blob.HTTP{
		"no token":    {Base: good.Base, Client: good.Client},
		"wrong token": {Base: good.Base, Client: good.Client, Token: "wrong"},
		"plain http":  {Base: open.URL, Token: "right"},
		"read-only":   {Base: readOnly.URL, Client: readOnly.Client(), Token: "right"},
	} {
		if _, _, err := h.Put(t.Context(), strings.NewReader("x"), ""); !errors.Is(err, blob.ErrDenied) {
			t.Errorf("%s: Put = %v, want %v", name, err, blob.ErrDenied)
		}
		if err := h.Delete(t.Context(), blob.Sum(nil)); !errors.Is(err, blob.ErrDenied) {
			t.Errorf("%s: Delete = %v, want %v", name, err, blob.ErrDenied)
		}
		if err := h.List(t.Context(), func(blob.Info) error { return nil }); !errors.Is(err, blob.ErrDenied) {
			t.Errorf("%s: List = %v, want %v", name, err, blob.ErrDenied)
		}
	}
	d, _, err := good.Put(t.Context(), strings.NewReader("public"), "")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := blob.ReadAll(t.Context(), &blob.HTTP{Base: open.URL}, d, 100); err != nil || string(b) != "public" {
		t.Errorf("reading over plain http without a token = %q, %v", b, err)
	}
}

func TestHandlerSpeaksHTTP(t *testing.T) {
	dir := openDir(t)
	d, _, err := dir.Put(t.Context(), strings.NewReader("0123456789"), "")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(blob.Handler(dir, nil))
	defer srv.Close()
	for _, c := range []struct {
		name, method string
		header       map[string]string
		status       int
		body         string
	}{
		{"whole", "GET", nil, 200, "0123456789"},
		{"head", "HEAD", nil, 200, ""},
		{"range", "GET", map[string]string{"Range": "bytes=2-4"}, 206, "234"},
		{"tail", "GET", map[string]string{"Range": "bytes=-3"}, 206, "789"},
		{"if-range holds", "GET", map[string]string{"Range": "bytes=2-4", "If-Range": `"` + string(d) + `"`},
			206, "234"},
		{"if-range fails", "GET", map[string]string{"Range": "bytes=2-4", "If-Range": `"x"`}, 200, "0123456789"},
		{"not modified", "GET", map[string]string{"If-None-Match": `"` + string(d) + `"`}, 304, ""},
		{"past the end", "GET", map[string]string{"Range": "bytes=10-"}, 416, "invalid range: failed to overlap\n"},
		{"range bomb", "GET", map[string]string{"Range": "bytes=" + strings.Repeat("0-0,", 1000) + "0-0"},
			200, "0123456789"},
	} {
		req, err := http.NewRequest(c.method, srv.URL+blob.Path+"/"+string(d), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || string(b) != c.body {
			t.Errorf("%s: got %d %q, want %d %q", c.name, resp.StatusCode, b, c.status, c.body)
		}
		if c.status < 300 && resp.Header.Get("ETag") != `"`+string(d)+`"` {
			t.Errorf("%s: ETag = %s", c.name, resp.Header.Get("ETag"))
		}
	}
}

func TestOpenDirRemovesAbandonedFiles(t *testing.T) {
	path := t.TempDir()
	if _, err := blob.OpenDir(path); err != nil {
		t.Fatal(err)
	}
	old, fresh := filepath.Join(path, "tmp", "put-1"), filepath.Join(path, "tmp", "put-2")
	for _, p := range []string{old, fresh} {
		if err := os.WriteFile(p, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.OpenDir(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a temporary file of yesterday is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("a fresh temporary file is gone: %v", err)
	}
}

func TestReadAllNoticesAChangedByte(t *testing.T) {
	path := t.TempDir()
	dir, err := blob.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := dir.Put(t.Context(), bytes.NewReader(make([]byte, 100)), "")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	b[50] = 1
	if err := os.WriteFile(filepath.Join(path, "sha256", d.Hex()[:2], d.Hex()), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.ReadAll(t.Context(), dir, d, 1000); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("ReadAll = %v, want %v", err, blob.ErrMismatch)
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(string(blob.Sum(nil)))
	f.Add("sha256:")
	f.Add("sha256:../..")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := blob.ParseDigest(s)
		if err == nil && (string(d) != s || len(d.Hex()) != 64 || strings.ContainsAny(d.Hex(), "./\x00")) {
			t.Errorf("ParseDigest(%q) = %q", s, d)
		}
	})
}
