package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Handler serves a Store at Path:
//
//	GET, HEAD /v1/blobs/DIGEST   the bytes; Range, If-Range and If-None-Match work, the ETag is the digest
//	PUT       /v1/blobs/DIGEST   store the body, which must have that digest -> 201 Info
//	POST      /v1/blobs          store the body, whatever its digest -> 201 Info
//	DELETE    /v1/blobs/DIGEST   -> 204
//	GET       /v1/blobs          every Info, one JSON value to a line
//
// A Dir, and any store that has Partial as it does, also takes a blob in parts:
//
//	GET    /v1/blobs/DIGEST/partial   -> Part, the part of it that arrived
//	DELETE /v1/blobs/DIGEST/partial   delete that part -> 204
//	PUT    /v1/blobs/DIGEST           with Content-Range "bytes A-B/T", A being the length of that and B being T-1, or
//	                                  "bytes */T" when there are T: append the body -> 201 Info
//
// If such a body is interrupted, what arrived is kept. 409 says that another client is sending, or that A is not the
// length.
//
// Reading a blob by its digest is free for all. The rest asks allow, whose error is the answer, with status 403; with
// a nil allow there is only reading. A body that has another digest, or is interrupted without a Content-Range,
// leaves nothing behind.
func Handler(s Store, allow func(*http.Request) error) http.Handler {
	mux := http.NewServeMux()
	h := handler{s}
	guard := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			err := errors.New("this is read-only")
			if allow != nil {
				err = allow(r)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			f(w, r)
		}
	}
	mux.HandleFunc("GET "+Path+"/{digest}", h.get) // HEAD too
	mux.HandleFunc("PUT "+Path+"/{digest}", guard(h.put))
	mux.HandleFunc("POST "+Path, guard(h.put))
	if _, ok := s.(keeper); ok {
		mux.HandleFunc("GET "+Path+"/{digest}/partial", guard(h.part))
		mux.HandleFunc("DELETE "+Path+"/{digest}/partial", guard(h.dropPart))
	}
	mux.HandleFunc("DELETE "+Path+"/{digest}", guard(h.delete))
	mux.HandleFunc("GET "+Path, guard(h.list))
	return mux
}

type handler struct{ s Store }

// fail answers with the status that HTTP's side of this package turns back into the same error.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNotExist):
		status = http.StatusNotFound
	case errors.Is(err, ErrMismatch):
		status = http.StatusUnprocessableEntity
	}
	http.Error(w, err.Error(), status)
}

func (h handler) get(w http.ResponseWriter, r *http.Request) {
	d, err := ParseDigest(r.PathValue("digest"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := h.seeker(r.Context(), d)
	if err != nil {
		fail(w, err)
		return
	}
	defer body.Close()
	// One range is all that a client of ours asks for; many small ones are a way to make a server work for nothing.
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", `"`+string(d)+`"`)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, body)
}

// seeker opens d for ServeContent: a file where the store has one, so that the kernel copies it.
func (h handler) seeker(ctx context.Context, d Digest) (io.ReadSeekCloser, error) {
	if f, ok := h.s.(interface {
		File(Digest) (*os.File, error)
	}); ok {
		return f.File(d)
	}
	size, err := h.s.Stat(ctx, d)
	if err != nil {
		return nil, err
	}
	return &seeker{ctx: ctx, s: h.s, d: d, size: size}, nil
}

func (h handler) put(w http.ResponseWriter, r *http.Request) {
	want := Digest(r.PathValue("digest"))
	if want != "" {
		if _, err := ParseDigest(string(want)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if r.Header.Get("Content-Range") != "" {
		// RFC 9110, section 14.5: who does not know it must not take the part for the whole.
		if _, ok := h.s.(keeper); !ok || want == "" {
			http.Error(w, "this takes whole blobs only", http.StatusBadRequest)
			return
		}
		h.putRest(w, r)
		return
	}
	d, n, err := h.s.Put(context.WithValue(r.Context(), forOthers{}, true), r.Body, want)
	if err != nil {
		fail(w, err)
		return
	}
	created(w, d, n)
}

func created(w http.ResponseWriter, d Digest, size int64) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(Info{Digest: d, Size: size, Time: time.Now().UTC()})
}

func (h handler) delete(w http.ResponseWriter, r *http.Request) {
	d, err := ParseDigest(r.PathValue("digest"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := h.s.Delete(r.Context(), d); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	if err := h.s.List(r.Context(), func(i Info) error { return enc.Encode(i) }); err != nil {
		// The status is out already: only a broken connection tells the client that the list is not whole.
		panic(http.ErrAbortHandler)
	}
}

// seeker reads a blob of any Store by opening it where it is asked to read.
type seeker struct {
	ctx  context.Context
	s    Reader
	d    Digest
	size int64
	at   int64
	rc   io.ReadCloser
}

func (s *seeker) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += s.at
	case io.SeekEnd:
		off += s.size
	}
	if off < 0 {
		return 0, fmt.Errorf("seeking blob %s to %d", s.d, off)
	}
	if off != s.at {
		s.Close()
	}
	s.at = off
	return off, nil
}

func (s *seeker) Read(p []byte) (int, error) {
	if s.rc == nil {
		var err error
		if s.rc, err = s.s.Open(s.ctx, s.d, s.at, -1); err != nil {
			return 0, err
		}
	}
	n, err := s.rc.Read(p)
	s.at += int64(n)
	return n, err
}

func (s *seeker) Close() error {
	if s.rc == nil {
		return nil
	}
	err := s.rc.Close()
	s.rc = nil
	return err
}
