// Package api is the appliance's HTTP interface over TLS: Handler serves agents and operators, Client is the operators'
// side of it. Start with Routes in this file, which is the whole of it; the agents' side is job.Client.
//
//	who       call                                 body -> reply
//	anybody   POST /v1/agent/hello                 job.Hello -> job.Welcome
//	agent     POST /v1/agent/choose                job.Choice -> job.Spec
//	agent     POST /v1/agent/events                job.Events -> job.Acknowledged
//	agent     POST /v1/agent/stream                multicast.Ask -> multicast.Answer
//	agent     POST /v1/agent/relay                 multicast.RelayReport -> multicast.RelayCommand
//	home      POST /v1/agent/home                  job.HomeReport -> 204
//	admin     GET  /v1/machines                    Machines
//	admin     GET  /v1/machines/KEY                Machine with all its jobs
//	admin     POST /v1/machines/KEY/install        Install -> 201 Machine
//	admin     POST /v1/machines/KEY/relay          Relay -> 201 Machine
//	admin     POST /v1/machines/KEY/cancel         Machine
//	admin     GET  /v1/machines/KEY/log?after=N&wait=SECONDS   Log; waits for an entry after N
//	admin     GET  /v1/multicast                   list of multicast.Listed
//	admin     POST /v1/multicast/ID/ACTION         StreamControl -> 204; start, hold, cap, stop
//
// A KEY is a name, a MAC address or a UUID. Every call but hello needs "Authorization: Bearer TOKEN": the one of the
// Welcome, the one-time token of the job, or the administrator's. A refusal is a problem document (RFC 9457).
//
// Bodies are at most job.MaxBody bytes and must be application/json, which a page in a browser cannot send here
// unasked. Strings from machines are made printable before they are logged.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// ErrNoImage is wrapped by Images where a reference names nothing.
var ErrNoImage = errors.New("no such image")

// ErrNoSession is wrapped by Streams where a multicast session is not there.
var ErrNoSession = errors.New("no such multicast session")

// Images is what the API asks of the image store.
type Images interface {
	// Choices lists what a screen may offer, in the order in which it does.
	Choices(ctx context.Context) ([]job.ImageChoice, error)
	// Plan resolves a reference as a person types it and says how a blank machine gets the image.
	Plan(ctx context.Context, ref string) (job.Image, error)
}

// Options are what Handler needs; only Log and Now may be left out.
type Options struct {
	Fleet   *fleet.Fleet
	Images  Images
	Streams Streams
	Sources []string // base URLs of blobs, which each job is given
	Home    string   // https base URL that installed systems report to
	Admin   string   // the administrator's token, at least 16 bytes
	Log     *slog.Logger
	Now     func() time.Time
}

// Handler serves the API. Other TLS handlers of the appliance use its Allow.
type Handler struct {
	o     Options
	admin [sha256.Size]byte
	mux   *http.ServeMux
}

// New makes a Handler.
func New(o Options) (*Handler, error) {
	if len(o.Admin) < 16 {
		return nil, errors.New("making the API: the administrator's token has less than 16 bytes")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Handler{o: o, admin: sha256.Sum256([]byte(o.Admin)), mux: http.NewServeMux()}
	for _, r := range h.Routes() {
		h.mux.HandleFunc(r.Pattern, h.guard(r))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, r, job.NewProblem(http.StatusNotFound, "there is nothing at this path"))
	})
	return h, nil
}

// Who may call a route.
type Who int

// The callers. Agent and HomeToken are checked by the fleet, in the transaction that does the work.
const (
	Admin     Who = iota // the zero value, so that a route that forgets to say is closed
	Agent                // bearer of a boot's token
	HomeToken            // bearer of a one-time token
	Anybody
)

// Route is one call.
type Route struct {
	Pattern string
	Who     Who
	do      func(w http.ResponseWriter, r *http.Request, token string) error
}

// Routes lists every call there is.
func (h *Handler) Routes() []Route {
	return []Route{
		{"POST " + job.HelloPath, Anybody, h.hello},
		{"POST " + job.ChoosePath, Agent, h.choose},
		{"POST " + job.EventsPath, Agent, h.events},
		{"POST " + job.StreamPath, Agent, h.stream},
		{"POST " + job.RelayPath, Agent, h.relayReport},
		{"POST " + job.HomePath, HomeToken, h.home},
		{"GET /v1/machines", Admin, h.machines},
		{"GET /v1/machines/{key}", Admin, h.machine},
		{"POST /v1/machines/{key}/install", Admin, h.install},
		{"POST /v1/machines/{key}/relay", Admin, h.relay},
		{"POST /v1/machines/{key}/cancel", Admin, h.cancel},
		{"GET /v1/machines/{key}/log", Admin, h.log},
		{"GET /v1/multicast", Admin, h.multicast},
		{"POST /v1/multicast/{id}/{action}", Admin, h.control},
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Allow says whether r bears the administrator's token. Its error is a *job.Problem with status 401.
func (h *Handler) Allow(r *http.Request) error {
	sum := sha256.Sum256([]byte(bearer(r)))
	if subtle.ConstantTimeCompare(sum[:], h.admin[:]) != 1 {
		return job.NewProblem(http.StatusUnauthorized, "the administrator's token is missing or wrong: give --token-file FILE, a copy of admin.token in the server's state directory")
	}
	return nil
}

func (h *Handler) guard(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		var err error
		switch {
		case route.Who == Admin:
			err = h.Allow(r)
		case route.Who != Anybody && token == "":
			err = fleet.ErrToken
		}
		if err == nil {
			err = route.do(w, r, token)
		}
		if err != nil {
			h.refuse(w, r, err)
		}
	}
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// refuse answers with the problem that err is. What is not the caller's fault is logged and not told.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *job.Problem
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &large):
		p = job.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", large.Limit))
	case errors.Is(err, fleet.ErrUnknown):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoSession):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoImage):
		p = job.NewProblem(http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, fleet.ErrAmbiguous), errors.Is(err, fleet.ErrBusy), errors.Is(err, fleet.ErrOver):
		p = job.NewProblem(http.StatusConflict, err.Error())
	case errors.Is(err, fleet.ErrInvalid):
		p = job.NewProblem(http.StatusBadRequest, err.Error())
	case errors.Is(err, fleet.ErrToken):
		p = job.NewProblem(http.StatusUnauthorized, err.Error())
	case r.Context().Err() != nil:
		return
	default:
		h.o.Log.Error("answering a request failed", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "error", err)
		p = job.NewProblem(http.StatusInternalServerError, "the appliance could not do it; its log says why")
	}
	if p.Status == http.StatusUnauthorized {
		h.o.Log.Warn("request without a valid token", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="griddle"`)
	}
	told := *p
	told.Detail = strings.ReplaceAll(told.Detail, "\n", "; ")
	write(w, told.Status, job.ProblemType, told)
}

func reply(w http.ResponseWriter, status int, v any) error {
	write(w, status, "application/json", v)
	return nil
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, kind, body = http.StatusInternalServerError, "text/plain", []byte("the reply cannot be written as JSON")
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // who is gone does not read it
}

// decode reads one JSON value of at most job.MaxBody bytes. Agents may be newer than the appliance, so that fields
// that it does not know are no mistake where strict is false.
func decode(w http.ResponseWriter, r *http.Request, strict bool, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return job.NewProblem(http.StatusUnsupportedMediaType, "the body must be application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, job.MaxBody))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return job.NewProblem(http.StatusBadRequest, "reading the body: "+job.Sentence(err.Error()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return job.NewProblem(http.StatusBadRequest, "reading the body: there is more than one value in it")
	}
	return nil
}
