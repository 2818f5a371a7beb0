package blob_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/blob"
)

var errCut = errors.New("cut")

func TestPutRest(t *testing.T) {
	dir := openDir(t)
	h := serve(t, dir)
	whole := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	d, total := blob.Sum(whole), int64(len(whole))
	if p, err := h.Part(t.Context(), d); err != nil || p.Size != 0 {
		t.Fatalf("before anything was sent there is %+v, %v", p, err)
	}
	broken := io.MultiReader(bytes.NewReader(whole[:total/2]), iotest.ErrReader(errCut))
	if err := h.PutRest(t.Context(), d, broken, 0, total); !errors.Is(err, errCut) {
		t.Fatalf("a source that broke off: %v", err)
	}
	if _, err := dir.Stat(t.Context(), d); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a part counts as the blob: %v", err)
	}
	p := part(t, h, d)
	if p.Size == 0 || p.Size > total/2 || p.Digest != blob.Sum(whole[:p.Size]) {
		t.Fatalf("of %d bytes there are %+v", total/2, p)
	}
	for name, at := range map[string]int64{"beginning": 0, "gap": p.Size + 1, "overlap": p.Size - 1, "end": total} {
		if err := h.PutRest(t.Context(), d, bytes.NewReader(whole[at:]), at, total); !errors.Is(err, blob.ErrBusy) {
			t.Errorf("%s: %v, want %v", name, err, blob.ErrBusy)
		}
	}
	if err := h.PutRest(t.Context(), d, bytes.NewReader(whole[p.Size:]), p.Size, total); err != nil {
		t.Fatal(err)
	}
	if b, err := blob.ReadAll(t.Context(), dir, d, total); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("the blob: %d bytes, %v", len(b), err)
	}
	// A second time it is there already, and no part of it comes to be.
	if err := h.PutRest(t.Context(), d, bytes.NewReader(whole), 0, total); err != nil {
		t.Error(err)
	}
	if p, err := h.Part(t.Context(), d); err != nil || p.Size != 0 {
		t.Errorf("afterwards there is %+v, %v", p, err)
	}
}

// part waits until the server has noticed that a body broke off.
func part(t *testing.T, h *blob.HTTP, d blob.Digest) blob.Part {
	t.Helper()
	for {
		p, err := h.Part(t.Context(), d)
		if err == nil {
			return p
		}
		if !errors.Is(err, blob.ErrBusy) {
			t.Fatal(err)
		}
	}
}

// TestPutRestWrong has bytes that are not the blob's: they are gone at the end, or when they are thrown away.
func TestPutRestWrong(t *testing.T) {
	dir := openDir(t)
	h := serve(t, dir)
	d := blob.Sum([]byte("right"))
	if err := h.PutRest(t.Context(), d, strings.NewReader("wrong"), 0, 5); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("other bytes: %v", err)
	}
	if p, err := h.Part(t.Context(), d); err != nil || p.Size != 0 {
		t.Errorf("after them there is %+v, %v", p, err)
	}
	if err := h.PutRest(t.Context(), d, strings.NewReader("wr"), 0, 5); err == nil {
		t.Error("a body that is too short was taken")
	}
	if p := part(t, h, d); p.Size != 2 {
		t.Errorf("of two bytes there are %+v", p)
	}
	if err := h.DropPart(t.Context(), d); err != nil {
		t.Error(err)
	}
	// All of it is there, as a crash before the end leaves it.
	f, err := dir.Partial(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("right")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := h.PutRest(t.Context(), d, nil, 5, 5); err != nil {
		t.Error(err)
	}
	if b, err := blob.ReadAll(t.Context(), dir, d, 5); err != nil || string(b) != "right" {
		t.Errorf("the blob is %q, %v", b, err)
	}
}

func TestPutRestTogether(t *testing.T) {
	dir := openDir(t)
	h := serve(t, dir)
	whole := bytes.Repeat([]byte("x"), 3<<20)
	d := blob.Sum(whole)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			err := h.PutRest(t.Context(), d, bytes.NewReader(whole), 0, int64(len(whole)))
			if errors.Is(err, blob.ErrBusy) {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.ReadAll(t.Context(), dir, d, int64(len(whole))); err != nil {
		t.Error(err)
	}
}

func TestPartsAreGuarded(t *testing.T) {
	dir := openDir(t)
	good := serve(t, dir)
	d := blob.Sum(nil)
	for name, h := range map[string]*blob.HTTP{
		"no token":    {Base: good.Base, Client: good.Client},
		"wrong token": {Base: good.Base, Client: good.Client, Token: "wrong"},
	} {
		_, err := h.Part(t.Context(), d)
		err2 := h.DropPart(t.Context(), d)
		err3 := h.PutRest(t.Context(), d, strings.NewReader("x"), 0, 1)
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, blob.ErrDenied) {
				t.Errorf("%s: %v, want %v", name, err, blob.ErrDenied)
			}
		}
	}
	whole := serve(t, plain{dir})
	if _, err := whole.Part(t.Context(), d); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a store without parts: %v", err)
	}
	if err := whole.PutRest(t.Context(), d, strings.NewReader("x"), 0, 1); err == nil {
		t.Error("a store without parts took one")
	}
}

func TestContentRange(t *testing.T) {
	dir := openDir(t)
	h := serve(t, dir)
	for _, s := range []string{
		"bytes", "bytes 0-0", "bytes */*", "bytes 0-0/*", "bytes 0-3/5", "bytes 0-5/5", "bytes 5-4/5",
		"bytes -1-4/5", "bytes */-1", "bytes 0-1099511627776/1099511627777",
		"bytes 9223372036854775807-9223372036854775807/9223372036854775808", "items 0-4/5",
	} {
		req, err := http.NewRequest("PUT", h.Base+blob.Path+"/"+string(blob.Sum([]byte("right"))),
			strings.NewReader("right"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer right")
		req.Header.Set("Content-Range", s)
		resp, err := h.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("Content-Range %q: %s", s, resp.Status)
		}
	}
}
