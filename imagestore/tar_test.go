package imagestore

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"griddle/imagestore/content"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// TestTar has GNU tar unpack an archive, and publishes it again: both trees are the image's, to the last attribute.
func TestTar(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	sourcetest.Plant(t, filepath.Join(p.dir, "plant"))
	p.store.Key = p.o.Key
	ref := mustRef(t, p.publish().Ref)
	var archive bytes.Buffer
	p.must(p.store.Tar(ctx, ref, &archive, nil))
	tree, err := p.store.tree(ctx, ref, nil)
	p.must(err)
	defer tree.release()
	want := &content.Manifest{}
	for _, e := range tree.Content.Entries {
		if e.Type != content.Socket {
			want.Entries = append(want.Entries, e)
		}
	}

	out := filepath.Join(filepath.Dir(p.dir), "unpacked")
	p.must(os.Mkdir(out, 0o755))
	cmd := exec.Command("tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", out)
	cmd.Stdin = bytes.NewReader(archive.Bytes())
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, msg)
	}
	got, err := content.Walk(ctx, out)
	p.must(err)
	sameContent(t, "GNU tar made", got, want)

	o := p.o
	o.Ref = Ref{Name: "again"}
	o.Source, err = source.Find(ctx, "tar:-", source.Options{Stdin: &archive, Spool: t.TempDir()})
	p.must(err)
	again, err := p.store.Publish(ctx, o)
	p.must(err)
	second, err := p.store.tree(ctx, mustRef(t, again.Ref), nil)
	p.must(err)
	defer second.release()
	sameContent(t, "publishing the archive made", second.Content, want)
}

func sameContent(t *testing.T, what string, got, want *content.Manifest) {
	t.Helper()
	var g, w bytes.Buffer
	got.WriteTo(&g)
	want.WriteTo(&w)
	if g.String() == w.String() {
		return
	}
	gl, wl := bytes.Split(g.Bytes(), []byte("\n")), bytes.Split(w.Bytes(), []byte("\n"))
	for i := range min(len(gl), len(wl)) {
		if !bytes.Equal(gl[i], wl[i]) {
			t.Errorf("%s\n%s\nwant\n%s", what, gl[i], wl[i])
			return
		}
	}
	t.Errorf("%s %d paths, want %d", what, len(gl), len(wl))
}

// TestStreamOverHTTP fetches streams as curl would.
func TestStreamOverHTTP(t *testing.T) {
	p, one, two := changing(t)
	allow := false
	srv := httptest.NewServer(Handler(p.store, func(*http.Request) error {
		if allow {
			return nil
		}
		return io.EOF
	}))
	defer srv.Close()
	get := func(ref, from, format string) (int, []byte) {
		t.Helper()
		q := url.Values{"ref": {ref}, "format": {format}}
		if from != "" {
			q.Set("from", from)
		}
		resp, err := http.Get(srv.URL + ImagesPath + "/stream?" + q.Encode())
		p.must(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		p.must(err)
		return resp.StatusCode, b
	}
	for _, tt := range []struct {
		ref, from, format string
		allow             bool
		status            int
	}{
		{two, "", "raw", false, 200},
		{two, one, "zstd", false, 200},
		{one, two, "raw", false, 403}, // there is none yet
		{one, two, "raw", true, 200},
		{one, two, "raw", false, 200},
		{two, "", "tar", false, 403},
		{two, "", "tar", true, 200},
		{"nobody:1", "", "raw", true, 404},
		{two, "nobody:1", "raw", true, 404},
		{two, "", "zip", true, 400},
		{two, one, "tar", true, 400},
		{"No Name", "", "raw", true, 400},
	} {
		allow = tt.allow
		status, b := get(tt.ref, tt.from, tt.format)
		if status != tt.status || status == 200 && len(b) < 1000 {
			t.Errorf("GET %s from %q as %s, allowed %v = %d with %d bytes %.200s, want %d", tt.ref, tt.from, tt.format, tt.allow, status, len(b), b, tt.status)
		}
	}
	_, raw := get(two, one, "raw")
	var want bytes.Buffer
	from := mustRef(t, one)
	p.must(p.store.Stream(t.Context(), mustRef(t, two), &from, true, &want))
	if !bytes.Equal(raw, want.Bytes()) {
		t.Errorf("the server sent %d bytes, the store %d", len(raw), want.Len())
	}
}
