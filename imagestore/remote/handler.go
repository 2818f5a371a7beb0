package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/head"
)

// HandlerOptions say who may do what, and how much. With the zero value everyone may read and no one may change
// anything.
type HandlerOptions struct {
	// Who says who calls; its error, about a token that is not valid, is the answer. With nil everyone is a
	// Stranger, tokens are ignored, and routes that need one do not exist.
	Who func(*http.Request) (Caller, error)
	// Private also stops Strangers from reading.
	Private bool
	// Client names the client of a request, so that each client gets a share of the budget, and says whether the
	// client is known; known clients can also use a reserve. nil means the remote address, and known with any role
	// above Stranger.
	Client func(*http.Request, Caller) (client string, known bool)
	// Admit takes from a budget. Its error is the answer, with status 503. nil means no limits.
	Admit func(what Work, client string, known bool, bytes int64) (Held, error)
	// Begin is called before a change of the catalog, a derivation and the deletion of a blob; the change is refused
	// with its error. what is the method and the path, and on what the change is about. end is called afterwards, with
	// the status of the answer, and what the change was about if that is known only then. nil notes nothing. Uploads
	// are not noted: they change nothing before something of the catalog names them.
	Begin func(r *http.Request, by Caller, what, on string) (end func(status int, on string), err error)
	// Beside has blobs that are not in the store but are served as if they were. May be nil.
	Beside func(blob.Digest) ([]byte, bool)
}

// Handler serves a store to the callers that allow accepts, as administrators. With a nil allow everyone may read
// and no one may change anything. NewHandler knows more kinds of callers.
func Handler(s *imagestore.Store, allow func(*http.Request) error) http.Handler {
	if allow == nil {
		return NewHandler(s, HandlerOptions{})
	}
	return NewHandler(s, HandlerOptions{Who: func(r *http.Request) (Caller, error) {
		err := allow(r)
		if err == nil {
			return Caller{Role: Administrator}, nil
		}
		if r.Header.Get("Authorization") == "" {
			err = nil
		}
		return Caller{}, err
	}})
}

// NewHandler serves a store:
//
//	GET  /v1/images             []Listed as List gives them; ?filter=F any number of times
//	GET  /v1/images/show?ref=R  Shown
//	GET  /v1/images/stream      ?ref=R&from=R&format=zstd, raw or tar: the bytes; only an
//	                            administrator may ask for what must be made first
//	POST /v1/images/derive      {"ref":R,"parent":R} -> Derived
//	POST /v1/leases             catalog.LeaseRequest -> Lease; DELETE /v1/leases/ID ends one
//	GET  /v1/catalog            every Entry, one JSON value to a line
//	GET  /v1/catalog/head       the signed head, brought up to date where this process keeps it
//	GET  /v1/catalog/site       the public key that signed it, one base64 line
//	POST /v1/catalog            Change -> Changed
//	     /v1/blobs…             as blob.Handler
//
// Routes says who may call which. Errors are a Problem as JSON (of blobs: text), with status 403, 404, 409,
// 422, 400 or 503, or 500.
func NewHandler(s *imagestore.Store, o HandlerOptions) http.Handler {
	h := server{s, o}
	// the guard below was there first
	blobs := blob.Handler(s.Blobs, func(*http.Request) error { return nil }).ServeHTTP
	calls := map[string]http.HandlerFunc{
		"GET " + ImagesPath:              h.images,
		"GET " + ImagesPath + "/show":    h.show,
		"GET " + ImagesPath + "/stream":  h.stream,
		"POST " + ImagesPath + "/derive": h.noted(h.derive, func(*http.Request) string { return "" }),
		"POST " + LeasesPath:             h.lease,
		"DELETE " + LeasesPath + "/{id}": h.release,
		"GET " + CatalogPath:             h.entries,
		"GET " + head.Path:               h.head,
		"GET " + SitePath:                h.site,
		"POST " + CatalogPath:            h.change,
	}
	mux := http.NewServeMux()
	for _, r := range Routes() {
		call, no := calls[r.Pattern], refuse
		if call == nil {
			call, no = blobs, refuseBlob
			if r.Access == Reads {
				call = h.beside(blobs)
			}
			if r.Pattern == "DELETE "+blob.Path+"/{digest}" {
				call = h.noted(blobs, func(r *http.Request) string { return r.PathValue("digest") })
			}
		}
		mux.HandleFunc(r.Pattern, h.guard(r.Access, call, no))
	}
	return mux
}

// beside answers with a blob that is beside the store, or has next answer.
func (h server) beside(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h.o.Beside == nil || r.Method != http.MethodGet {
			next(w, r)
			return
		}
		b, ok := h.o.Beside(blob.Digest(r.PathValue("digest")))
		if !ok {
			next(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b) // what fails here fails for want of a client
	}
}

// guard lets those through who have the access.
func (h server) guard(a Access, call http.HandlerFunc, no func(http.ResponseWriter, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by, err := h.who(r)
		if err == nil {
			err = h.allowed(by, a)
		}
		switch {
		case errors.Is(err, ErrLimit): // it cannot be said just now
			no(w, err)
			return
		case err != nil:
			no(w, fmt.Errorf("%w: %w", blob.ErrDenied, err))
			return
		}
		call(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, by)))
	}
}

func (h server) who(r *http.Request) (Caller, error) {
	if h.o.Who == nil {
		return Caller{}, nil
	}
	return h.o.Who(r)
}

// allowed returns nil where the role has the access, and else what is missing.
func (h server) allowed(by Caller, a Access) error {
	need := map[Access]Role{Reads: Stranger, Publishes: Publisher, Administers: Administrator}[a]
	if a == Reads && h.o.Private {
		need = Reader
	}
	switch {
	case by.Role >= need:
		return nil
	case h.o.Who == nil && need == Reader:
		return errors.New("images are private here: use https and a token")
	case h.o.Who == nil:
		return errors.New("this is read-only")
	case by.Role == Stranger:
		return errors.New("this needs a token: add --token-file FILE")
	case by.Role == Reader && by.Person:
		return errors.New("this needs the role publisher or admin")
	case by.Role == Reader:
		return errors.New("a machine may only read")
	}
	return errors.New("this needs the administrator's token, or that of an admin; a publisher's token only uploads " +
		"and publishes")
}

type callerKey struct{}

// callerOf is who sent a request that guard let through.
func callerOf(r *http.Request) Caller {
	by, _ := r.Context().Value(callerKey{}).(Caller)
	return by
}

// client names the caller of a request.
func (h server) client(r *http.Request) (client string, known bool) {
	by := callerOf(r)
	if h.o.Client != nil {
		return h.o.Client(r, by)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return host, by.Role > Stranger
}

// admit takes from the budget of some work for the caller of r.
func (h server) admit(r *http.Request, what Work, bytes int64) (Held, error) {
	if h.o.Admit == nil {
		return noBounds{}, nil
	}
	client, known := h.client(r)
	held, err := h.o.Admit(what, client, known, bytes)
	if err != nil {
		return nil, limited(err)
	}
	return held, nil
}

func limited(err error) error { return fmt.Errorf("%w: %w; try again a little later", ErrLimit, err) }

// listCost is what a list of the whole catalog takes: the entries as they were read are shared, and the view of them,
// the list and its text are each about as long as the log.
func (h server) listCost() int64 {
	c, ok := h.s.Catalog.(lined)
	if !ok {
		return 1 << 20
	}
	return 64<<10 + 4*c.Size()
}

// refuseBlob answers a request for a blob as package blob does.
func refuseBlob(w http.ResponseWriter, err error) {
	status := http.StatusForbidden
	if errors.Is(err, ErrLimit) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, strings.TrimPrefix(err.Error(), blob.ErrDenied.Error()+": "), status)
}
