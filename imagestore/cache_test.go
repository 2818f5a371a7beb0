package imagestore_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/remote"
)

// TestCacheHeaders checks what caches go by: a strong ETag, which holds slices of a blob together, and that a blob
// never changes, in whole answers, partial ones and those to HEAD.
func TestCacheHeaders(t *testing.T) {
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 10_000)})
	srv := httptest.NewServer(remote.Handler(f.s, nil))
	defer srv.Close()
	d := l.Streams[0].Encoding
	for _, c := range []struct {
		method, header, value string
		status                int
	}{
		{"GET", "", "", 200},
		{"HEAD", "", "", 200},
		{"GET", "Range", "bytes=100-199", 206},
		{"GET", "If-None-Match", `"` + string(d) + `"`, 304},
	} {
		req, err := http.NewRequest(c.method, srv.URL+blob.Path+"/"+string(d), nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			req.Header.Set(c.header, c.value)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status || resp.Header.Get("ETag") != `"`+string(d)+`"` ||
			resp.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || resp.Header.Get("Vary") != "" {
			t.Errorf("%s with %s %s: status %d, want %d; headers %v", c.method, c.header, c.value, resp.StatusCode,
				c.status, resp.Header)
		}
	}
}

const nginxConfig = `
user root;
worker_processes 1;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 100; }
http {
	access_log off;
	proxy_cache_path DIR/cache keys_zone=blobs:1m max_size=1g;
	proxy_temp_path DIR/proxy;
	client_body_temp_path DIR/body;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	proxy_http_version 1.1;
	server {
		listen unix:DIR/socket;
		location /v1/blobs/ {
			proxy_cache blobs;
			proxy_cache_lock on;
			SLICE
			proxy_pass UPSTREAM;
		}
		location / { proxy_pass UPSTREAM; }
	}
}
`

// behindNginx is the store of f behind a cache; blobs counts the requests for blobs that go through it.
func (f *fixture) behindNginx(slice string) (s *imagestore.Store, blobs *atomic.Int64) {
	f.t.Helper()
	imagetest.Need(f.t, "nginx")
	dir, err := os.MkdirTemp("", "griddle-nginx-") // a short path: a socket's has at most 107 bytes
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { os.RemoveAll(dir) })
	blobs = &atomic.Int64{}
	h := remote.Handler(f.s, nil)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, blob.Path) {
			blobs.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	f.t.Cleanup(up.Close)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf,
		[]byte(strings.NewReplacer("DIR", dir, "UPSTREAM", up.URL, "SLICE", slice).Replace(nginxConfig)),
		0o644); err != nil {
		f.t.Fatal(err)
	}
	// It returns when it listens.
	if out, err := exec.Command("nginx", "-p", dir, "-c", conf,
		"-e", filepath.Join(dir, "error.log")).CombinedOutput(); err != nil {
		f.t.Fatalf("starting nginx: %v\n%s", err, out)
	}
	f.t.Cleanup(func() {
		if out, err := exec.Command("nginx", "-p", dir, "-c", conf, "-s", "stop").CombinedOutput(); err != nil {
			f.t.Errorf("stopping nginx: %v\n%s", err, out)
		}
	})
	client := &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "socket"))
		}}}
	f.t.Cleanup(client.CloseIdleConnections)
	if s, err = remote.Open(remote.ServerOptions{URL: "http://cache.invalid", Client: client}); err != nil {
		f.t.Fatal(err)
	}
	return s, blobs
}

// TestCopyThroughCache pulls through nginx: the second site's blobs come from the cache alone, also those of which
// it has a part already.
func TestCopyThroughCache(t *testing.T) {
	for name, slice := range map[string]string{
		"whole": "",
		"slices": `slice 1m;
			proxy_cache_key $uri$slice_range;
			proxy_set_header Range $slice_range;`,
	} {
		t.Run(name, func(t *testing.T) {
			a := newFixture(t)
			l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 20<<20)})
			a.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 90_000)})
			through, asked := a.behindNginx(slice)
			a.another().pull(through, "web:*")
			if asked.Load() == 0 {
				t.Fatal("nothing was asked for")
			}
			asked.Store(0)
			b := a.another()
			b.pull(through, "web:*")
			c := a.another()
			half, err := os.ReadFile(a.blobFile(l.Streams[0].Encoding))
			if err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(c.dir, "blobs", "partial", l.Streams[0].Encoding.Hex())
			if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, half[:len(half)*7/8], 0o600); err != nil {
				t.Fatal(err)
			}
			if got := c.pull(through, "web:*"); got.Resumed == 0 {
				t.Error("the part was not used")
			}
			if n := asked.Load(); n != 0 {
				t.Errorf("%d requests for blobs went through the cache", n)
			}
		})
	}
}
