package imagestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"griddle/imagestore/blob"
)

// Paths of the store's API below a server's base URL, beside blob.Path.
const (
	ImagesPath  = "/v1/images"
	CatalogPath = "/v1/catalog"
)

const maxChange = 1 << 20 // bytes of a Change

// Problem is how the API says that something was refused.
type Problem struct {
	Code    string `json:"code"` // one of the codes below, or "" for anything else
	Message string `json:"error"`
}

// code and sentinel are the two directions of one table.
func problems() map[string]error {
	return map[string]error{
		"not-found": ErrNotFound, "exists": ErrExists, "in-use": ErrInUse, "corrupt": ErrCorrupt, "no-way": ErrNoWay,
		"no-key": ErrNoKey, "too-many": ErrTooMany, "bad-name": ErrRef, "bad-signature": ErrSignature, "revoked": ErrRevoked, "no-head": ErrNoHead, "lost": ErrLost, "no-blob": blob.ErrNotExist, "bad-blob": blob.ErrMismatch, "denied": blob.ErrDenied,
	}
}

// remoteError is an error that a server reported: its words, and what it is.
type remoteError struct {
	is      error
	message string
}

func (e *remoteError) Error() string { return "the server says: " + e.message }
func (e *remoteError) Unwrap() error { return e.is }

// Handler serves a store:
//
//	GET  /v1/images             []Listed as List gives them; ?filter=F any number of times
//	GET  /v1/images/show?ref=R  Shown
//	GET  /v1/images/stream      ?ref=R&from=R&format=zstd, raw or tar: the bytes; what must be made first is guarded
//	POST /v1/images/derive      {"ref":R,"parent":R} -> Derived          (guarded)
//	POST /v1/leases             LeaseRequest -> Lease; DELETE /v1/leases/ID ends one
//	GET  /v1/catalog            every Entry, one JSON value to a line   (guarded)
//	GET  /v1/catalog/head       the signed head, brought up to date where this process keeps it
//	GET  /v1/catalog/site       the public key that signed it, one base64 line
//	POST /v1/catalog            Change -> Changed                       (guarded)
//	     /v1/blobs…             as blob.Handler
//
// Errors are a Problem as JSON, with status 404, 409, 422 or 400, or 500. What is guarded asks allow, whose error is the
// answer with status 403; with a nil allow it is not there, and the handler fits a plain http listener.
func Handler(s *Store, allow func(*http.Request) error) http.Handler {
	h := server{s}
	mux := http.NewServeMux()
	allowed := func(r *http.Request) error {
		if allow == nil {
			return errors.New("this is read-only")
		}
		return allow(r)
	}
	guard := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := allowed(r); err != nil {
				refuse(w, fmt.Errorf("%w: %w", blob.ErrDenied, err))
				return
			}
			f(w, r)
		}
	}
	mux.HandleFunc("GET "+ImagesPath, h.images)
	mux.HandleFunc("GET "+ImagesPath+"/show", h.show)
	mux.HandleFunc("GET "+ImagesPath+"/stream", h.stream(allowed))
	mux.HandleFunc("POST "+ImagesPath+"/derive", guard(h.derive))
	mux.HandleFunc("POST "+LeasesPath, h.lease)
	mux.HandleFunc("DELETE "+LeasesPath+"/{id}", h.release)
	mux.HandleFunc("GET "+CatalogPath, guard(h.entries))
	mux.HandleFunc("GET "+HeadPath, h.head)
	mux.HandleFunc("GET "+SitePath, h.site)
	mux.HandleFunc("POST "+CatalogPath, guard(h.change))
	blobs := blob.Handler(s.Blobs, allow)
	mux.Handle(blob.Path, blobs)
	mux.Handle(blob.Path+"/", blobs)
	return mux
}

type server struct{ s *Store }

// refuse answers with what err is.
func refuse(w http.ResponseWriter, err error) {
	p := Problem{Message: err.Error()}
	for code, is := range problems() {
		if errors.Is(err, is) && code > p.Code { // one code, and always the same one, where several fit
			p.Code = code
		}
	}
	status := http.StatusInternalServerError
	switch {
	case p.Code == "denied":
		status = http.StatusForbidden
	case p.Code == "not-found" || p.Code == "no-head":
		status = http.StatusNotFound
	case p.Code == "exists" || p.Code == "in-use" || p.Code == "revoked":
		status = http.StatusConflict
	case p.Code == "bad-name":
		status = http.StatusBadRequest
	case p.Code != "":
		status = http.StatusUnprocessableEntity
	}
	answer(w, status, p)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v) // what fails here fails for want of a client
}

func (h server) images(w http.ResponseWriter, r *http.Request) {
	list, err := h.s.List(r.Context(), r.URL.Query()["filter"]...)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, list)
}

func (h server) show(w http.ResponseWriter, r *http.Request) {
	ref, err := ParseRef(r.URL.Query().Get("ref"))
	if err != nil {
		refuse(w, err)
		return
	}
	shown, err := h.s.Show(r.Context(), ref)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, shown)
}

// entries gives a local log's lines as they are, which is what a head is signed over.
func (h server) entries(w http.ResponseWriter, r *http.Request) {
	var b []byte
	local, ok := h.s.Catalog.(*localCatalog)
	var err error
	if ok {
		b, err = local.log.lines()
	} else {
		err = errors.New("reading catalog: it is not in a local store")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	for line := range bytes.Lines(b) {
		if _, err := w.Write(line[2*sha256.Size+1:]); err != nil {
			return
		}
	}
}

func (h server) head(w http.ResponseWriter, r *http.Request) {
	b, err := h.s.Head(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b) // what fails here fails for want of a client
}

// site tells whoever comes the first time by which key the head is to be checked, now and from then on.
func (h server) site(w http.ResponseWriter, r *http.Request) {
	k, err := h.s.SiteKey(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, k) // what fails here fails for want of a client
}

// deriveRequest asks for a stream; without a parent for a full one.
type deriveRequest struct {
	Ref    string `json:"ref"`
	Parent string `json:"parent,omitempty"`
}

func (h server) derive(w http.ResponseWriter, r *http.Request) {
	var req deriveRequest
	if !decodeBody(w, r, &req) {
		return
	}
	var o DeriveOptions
	var err error
	if o.Ref, err = ParseRef(req.Ref); err == nil && req.Parent != "" {
		var p Ref
		p, err = ParseRef(req.Parent)
		o.Parent = &p
	}
	if err != nil {
		refuse(w, err)
		return
	}
	out, err := h.s.Derive(r.Context(), o)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, out)
}

// decodeBody reads the one JSON value of a request, and answers where it is not what it should be.
func decodeBody(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		answer(w, http.StatusBadRequest, Problem{Message: "reading the request: " + err.Error()})
		return false
	}
	if _, err := dec.Token(); err != io.EOF {
		answer(w, http.StatusBadRequest, Problem{Message: "reading the request: there is more than one value"})
		return false
	}
	return true
}

func (h server) change(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !decodeBody(w, r, &c) {
		return
	}
	out, err := h.s.Catalog.Change(r.Context(), c)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, out)
}
