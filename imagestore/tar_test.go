package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
	"griddle/imagestore/remote"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// TestTar has GNU tar and bsdtar unpack an archive, with ACLs as attributes and as what --acls takes, and publishes it
// again: all trees are the image's, to the last attribute and time, and have its holes.
func TestTar(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	sourcetest.Plant(t, filepath.Join(p.dir, "plant"))
	// "plant-b" sorts between "plant" and "plant/x", so that a manifest leaves "plant" and comes back.
	sourcetest.Plant(t, filepath.Join(p.dir, "plant-b"))
	p.must(os.WriteFile(filepath.Join(p.dir, "plant", "\xfe"), []byte("odd"), 0o644))
	p.must(os.Mkdir(filepath.Join(p.dir, "plant", "\xfd"), 0o755))
	p.must(os.Link(filepath.Join(p.dir, "plant-b", "large"), filepath.Join(p.dir, "plant", "zz")))
	p.must(unix.Setxattr(filepath.Join(p.dir, "plant", "large"), "user.a=b%25", []byte("odd"), 0))
	for _, name := range []string{"plant", "plant-b"} {
		p.must(os.Chtimes(filepath.Join(p.dir, name), time.Unix(1e9, 5), time.Unix(1e9, 5)))
	}
	p.store.Key = p.o.Key
	image := imagetest.Ref(t, p.publish().Ref)
	var archive bytes.Buffer
	p.must(p.store.Tar(ctx, image, &archive, nil))
	tree, err := p.store.HoldTree(ctx, image)
	p.must(err)
	defer tree.Release()
	want := &content.Manifest{}
	for _, e := range tree.Content.Entries {
		if e.Type != content.Socket {
			want.Entries = append(want.Entries, e)
		}
	}

	for i, command := range [][]string{
		{"tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*"},
		{"tar", "-x", "-p", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"},
		{"bsdtar", "-x", "-p", "--numeric-owner", "--acls", "--xattrs", "-f", "-"},
	} {
		out := filepath.Join(filepath.Dir(p.dir), fmt.Sprintf("unpacked%d", i))
		p.must(os.Mkdir(out, 0o755))
		cmd := exec.Command(imagetest.Need(t, command[0]), append(command[1:], "-C", out)...)
		cmd.Stdin = bytes.NewReader(archive.Bytes())
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, msg)
		}
		unpacked(t, command[0], content.Verify(ctx, out, want, nil))
		sourcetest.Run(t, "sync", "-f", out)
		if n := taken(t, filepath.Join(out, "plant")); n > 12<<20 {
			t.Errorf("%v: what was unpacked takes %d bytes", command, n)
		}
	}
	if n := archive.Len(); n > 16<<20 {
		t.Errorf("the archive has %d bytes: the holes are in it", n)
	}

	o := p.o
	o.Ref = ref.Ref{Name: "again"}
	o.Source, err = source.Find(ctx, "tar:-", source.Options{Stdin: &archive, Spool: t.TempDir()})
	p.must(err)
	again, err := p.store.Publish(ctx, o)
	p.must(err)
	second, err := p.store.HoldTree(ctx, imagetest.Ref(t, again.Ref))
	p.must(err)
	defer second.Release()
	sameContent(t, "publishing the archive made", second.Content, want)
}

// unpacked lets pass what bsdtar 3.6 does to any archive, GNU tar's own too: it leaves the time of "." alone, reads a
// time with a fraction before 1970 as a second less, and does not know how GNU tar writes "=" in an attribute's name.
func unpacked(t *testing.T, program string, err error) {
	t.Helper()
	var differs *content.MismatchError
	if err == nil || program == "bsdtar" && errors.As(err, &differs) &&
		len(slices.DeleteFunc(differs.Differences, func(d string) bool {
			return strings.HasPrefix(d, ". was modified") || strings.Contains(d, "none was modified at -4.") ||
				strings.Contains(d, "attribute user.a")
		})) == 0 {
		return
	}
	t.Errorf("%s made: %v", program, err)
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
	srv := httptest.NewServer(remote.Handler(p.store, func(*http.Request) error {
		if allow {
			return nil
		}
		return io.EOF
	}))
	defer srv.Close()
	get := func(name, from, format string) (int, []byte) {
		t.Helper()
		q := url.Values{"ref": {name}, "format": {format}}
		if from != "" {
			q.Set("from", from)
		}
		resp, err := http.Get(srv.URL + remote.ImagesPath + "/stream?" + q.Encode())
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
			t.Errorf("GET %s from %q as %s, allowed %v = %d with %d bytes %.200s, want %d", tt.ref, tt.from, tt.format,
				tt.allow, status, len(b), b, tt.status)
		}
	}
	_, raw := get(two, one, "raw")
	var want bytes.Buffer
	from := imagetest.Ref(t, one)
	p.must(p.store.Stream(t.Context(), imagetest.Ref(t, two), &from, true, &want))
	if !bytes.Equal(raw, want.Bytes()) {
		t.Errorf("the server sent %d bytes, the store %d", len(raw), want.Len())
	}
}
