package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Paths of the store's API below a server's base URL, beside blob.Path.
const (
	ImagesPath  = "/v1/images"
	CatalogPath = "/v1/catalog"
	// SitePath is the path of the public key that signs the head of the catalog.
	SitePath = CatalogPath + "/site"
)

const maxChange = 1 << 20 // bytes of a Change

// Problem is the answer of the API to a request that it refuses.
type Problem struct {
	Code    string `json:"code"` // one of the codes below, or "" for anything else
	Message string `json:"error"`
}

// code and sentinel are the two directions of one table.
func problems() map[string]error {
	return map[string]error{
		"not-found": catalog.ErrNotFound, "exists": catalog.ErrExists, "in-use": catalog.ErrInUse,
		"corrupt": fetch.ErrCorrupt, "no-way": catalog.ErrNoWay, "no-key": imagestore.ErrNoKey,
		"too-many": catalog.ErrTooMany, "bad-name": ref.ErrInvalid, "bad-signature": minisign.ErrSignature,
		"revoked": catalog.ErrRevoked, "no-head": head.ErrMissing, "lost": head.ErrLost, "busy": ErrLimit,
		"no-blob": blob.ErrNotExist, "bad-blob": blob.ErrMismatch, "denied": blob.ErrDenied,
	}
}

// remoteError is an error that a server reported: its words, and what it is.
type remoteError struct {
	is      error
	message string
}

func (e *remoteError) Error() string { return "the server says: " + e.message }
func (e *remoteError) Unwrap() error { return e.is }

type server struct {
	s *imagestore.Store
	o HandlerOptions
}

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
	case p.Code == "busy":
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "5")
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
	held, err := h.admit(r, Lists, h.listCost())
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
	list, err := h.s.List(r.Context(), r.URL.Query()["filter"]...)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, list)
}

func (h server) show(w http.ResponseWriter, r *http.Request) {
	of, err := ref.Parse(r.URL.Query().Get("ref"))
	if err != nil {
		refuse(w, err)
		return
	}
	held, err := h.admit(r, Lists, h.listCost())
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
	shown, err := h.s.Show(r.Context(), of)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, shown)
}

// lined is a catalog whose log can be had as it is: a local one.
type lined interface {
	Lines() ([]byte, error)
	Size() int64 // bytes
}

// entries gives a local log's lines as they are, which is what a head is signed over.
func (h server) entries(w http.ResponseWriter, r *http.Request) {
	var b []byte
	local, ok := h.s.Catalog.(lined)
	held, err := h.admit(r, Lists, h.listCost())
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
	if ok {
		b, err = local.Lines()
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
	held, err := h.admit(r, Lists, h.listCost())
	if err != nil {
		refuse(w, err)
		return
	}
	defer held.Release()
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
	if !h.decodeBody(w, r, &req) {
		return
	}
	var o imagestore.DeriveOptions
	var err error
	if o.Ref, err = ref.Parse(req.Ref); err == nil && req.Parent != "" {
		var p ref.Ref
		p, err = ref.Parse(req.Parent)
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
func (h server) decodeBody(w http.ResponseWriter, r *http.Request, v any) bool {
	size := int64(maxChange)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	held, err := h.admit(r, Bodies, 2*size) // the bytes, and what they decode to
	if err != nil {
		refuse(w, err)
		return false
	}
	defer held.Release()
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
	var c catalog.Change
	if !h.decodeBody(w, r, &c) {
		return
	}
	w, end, err := h.begin(w, r, about(c))
	if err != nil {
		refuse(w, err)
		return
	}
	on := ""
	defer func() { end(on) }()
	by := callerOf(r)
	if by.Role == Publisher && by.Key != (minisign.PublicKey{}) {
		err = h.s.MayChange(r.Context(), by.Key, c)
	} else if by.Role == Publisher {
		err = h.s.MayPublish(r.Context(), by.Names, c)
	}
	var out catalog.Changed
	if err == nil {
		out, err = h.s.Catalog.Change(r.Context(), c)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	if out.Image != nil {
		on = "publish " + out.Image.Ref
	}
	answer(w, http.StatusOK, out)
}

// about says in a few words what a change is.
func about(c catalog.Change) string {
	switch {
	case c.Publish != nil:
		return "publish " + string(c.Publish.Image)
	case c.Delete != "":
		return "delete " + c.Delete
	case c.Trust != "":
		return "trust a key"
	case c.Grant != nil:
		return "grant " + c.Grant.Key
	case c.Revoke != "":
		return "revoke " + c.Revoke
	case c.Channel != nil:
		return "channel " + c.Channel.Template + ":" + c.Channel.Name + " " + c.Channel.Version
	case c.Reencode != nil:
		return "reencode " + c.Reencode.Ref
	case c.Keep != nil:
		return "keep rules"
	case c.Expire != nil:
		return "apply keep rules"
	case c.Collect:
		return "collect"
	}
	return "nothing"
}

// begin calls HandlerOptions.Begin, and returns what has to be called at the end, with what is known then of what the
// change is about.
func (h server) begin(w http.ResponseWriter, r *http.Request, on string) (http.ResponseWriter, func(on string), error) {
	if h.o.Begin == nil {
		return w, func(string) {}, nil
	}
	end, err := h.o.Begin(r, callerOf(r), r.Method+" "+r.URL.Path, on)
	if err != nil {
		return w, nil, fmt.Errorf("%w: %w", ErrLimit, err)
	}
	seen := &status{ResponseWriter: w}
	return seen, func(on string) { end(seen.status, on) }, nil
}

// noted is call, with Begin and the end around it.
func (h server) noted(call http.HandlerFunc, on func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w, end, err := h.begin(w, r, on(r))
		if err != nil {
			refuse(w, err)
			return
		}
		defer end("")
		call(w, r)
	}
}

// status notes the status of an answer; 0 where there was none.
type status struct {
	http.ResponseWriter
	status int
}

func (w *status) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *status) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *status) Unwrap() http.ResponseWriter { return w.ResponseWriter }
