// Package api is the server's HTTP interface over TLS: Handler serves agents and operators, Client is the operators'
// side of it. Start with Routes in this file, which is the whole of it; the agents' side is job.Client.
//
//	who       call                                 body -> reply
//	anyone    POST /v1/agent/hello                 job.Hello -> job.Welcome
//	agent     POST /v1/agent/choose                job.Choice -> job.Spec
//	worker    GET  /v1/agent/settings              job.Settings
//	agent     POST /v1/agent/recovery              job.RecoveryAsk -> job.Settings
//	agent     POST /v1/agent/events                job.Events -> job.Acknowledged
//	worker    POST /v1/agent/stream                multicast.Ask -> multicast.Answer
//	worker    POST /v1/agent/plan                  job.PlanAsk -> job.Image
//	agent     POST /v1/agent/relay                 multicast.RelayReport -> multicast.RelayCommand
//	agent     POST /v1/agent/records/ID            a record of the job ID -> 204
//	agent     GET  /v1/agent/records/ID?after=N    job.RecordPage
//	home      POST /v1/agent/home                  job.HomeReport -> 204
//	machine   POST /v1/agent/check-in              job.CheckIn -> job.CheckedIn
//	machine   POST /v1/agent/update                job.UpdateAsk -> job.Spec
//	admin     GET  /v1/machines?after=NAME&limit=N Machines; a page of them, without inventories
//	admin     GET  /v1/machines/KEY                Machine with all its jobs
//	admin     POST /v1/machines/KEY/install        Install -> 201 Machine
//	admin     POST /v1/machines/KEY/plan           PlanLayout -> Planned; changes nothing
//	admin     POST /v1/machines/KEY/update         Update -> 201 Machine, or 200 if it has the image
//	admin     POST /v1/machines/KEY/erase          Erase -> 201 Machine
//	admin     POST /v1/machines/KEY/relay          Relay -> 201 Machine
//	admin     POST /v1/machines/KEY/resume         Machine; its last install by a layout again
//	admin     POST /v1/machines/KEY/cancel         Machine
//	admin     POST /v1/machines/KEY/approve        Approve -> Machine
//	admin     POST /v1/machines/KEY/rename         Rename -> Machine
//	admin     POST /v1/machines/KEY/merge          Merge -> Machine
//	admin     GET  /v1/machines/KEY/settings       Settings
//	admin     PUT  /v1/machines/KEY/settings       setting.Document -> Settings; replaces the machine's own
//	admin     PATCH /v1/machines/KEY/settings      SettingsChange -> Settings
//	admin     DELETE /v1/machines/KEY/settings     204
//	admin     PUT  /v1/settings                    ManySettings -> list of names; all or none
//	admin     POST /v1/machines/KEY/recovery-key   ReadRecovery -> Recovery; the journal says so
//	admin     DELETE /v1/machines/KEY              204; with ?recovery=lose also if it has recovery keys
//	admin     GET  /v1/machines/KEY/log?after=N&wait=SECONDS   Log; waits for an entry after N
//	admin     GET  /v1/multicast                   list of multicast.Listed
//	admin     POST /v1/multicast/ID/ACTION         StreamControl -> 204; start, hold, cap, stop
//
// A KEY is a name, a MAC address or a UUID. Every call but hello and check-in needs "Authorization: Bearer TOKEN": the
// one of the Welcome, the one-time token of the job, or the administrator's. A boot that said hello with a key
// (job.NewKey) makes all its calls with that key: without it its token is not valid. An installed machine has no token:
// the key of its connection says which machine it is. A worker is an agent, or an installed machine with a live update.
// A refusal is a problem document (RFC 9457).
//
// Bodies are at most job.MaxBody bytes, records at most job.MaxRecord, and must be application/json, which a page in a
// browser cannot send here by itself. All requests under way share one budget (body.go), and records have their own
// (record.go); if it is used up, the answer is 503. Strings from
// machines are made printable before they are logged.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
	"griddle/appliance/setting"
)

// ErrNoImage is wrapped by Images where a reference names nothing.
var ErrNoImage = errors.New("no such image")

// ErrNoSession is wrapped by Streams if a multicast session does not exist.
var ErrNoSession = errors.New("no such multicast session")

// Images is what the API asks of the image store.
type Images interface {
	// Choices lists what a screen may offer, in the order in which it does.
	Choices(ctx context.Context) ([]job.ImageChoice, error)
	// Plan resolves a reference as a person types it and says how a machine gets the image that has those with the
	// received UUIDs of have.
	Plan(ctx context.Context, ref string, have ...string) (job.Image, error)
	// Kernel returns the image with a kernel for an image that has none, and the zero value for one that has a kernel.
	Kernel(ctx context.Context, image job.Image) (job.Image, error)
	// Updates is nil if a machine that has another image can be updated to this one.
	Updates(ctx context.Context, image job.Image) error
	// Settings returns the settings that the signed document of an image has, as JSON; nil for none.
	Settings(ctx context.Context, image job.Image) ([]byte, error)
}

// Names are what the API asks about references to images.
type Names interface {
	// For is asked, as a person types it, for a machine that has image: of the same architecture, if asked has none.
	For(asked, image string) string
	// Follow is the reference that a machine follows which has image, and got it because a person asked for asked: a
	// channel, or else the newest version of the template.
	Follow(ctx context.Context, asked, image string) (string, error)
	// Step compares two references.
	Step(from, to string) Step
}

// Step is what differs from one image to another.
type Step struct {
	Other bool // the template
	Arch  bool // the architecture
	Older bool // the second is an older version of the same template
}

// Options are what Handler needs; only Site, Notices, Signed, Log and Now may be left out.
type Options struct {
	Fleet   *fleet.Fleet
	Images  Images
	Names   Names
	Streams Streams
	Sources []string                // base URLs of blobs, which each job is given
	Home    string                  // https base URL that installed systems report to
	Admin   string                  // the administrator's token, at least 16 bytes
	Notices func() []string         // sentences for the head of the list of machines; nil for none
	Private bool                    // Sources take the token of the boot
	Signed  Notices                 // for installed machines; nil says nothing to them
	Site    func() setting.Document // the settings of all machines; nil for none
	Log     *slog.Logger
	Now     func() time.Time
}

// Handler serves the API. Other TLS handlers of the server use its Allow.
type Handler struct {
	o     Options
	admin [sha256.Size]byte
	mux   *http.ServeMux

	bodies *quota.Quota
	plans  *quota.Quota
	// of Record and Records
	records *quota.Quota
	last    lastImage
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
	h := &Handler{o: o, admin: sha256.Sum256([]byte(o.Admin)), mux: http.NewServeMux(), bodies: quota.New(bodyQuota),
		plans: quota.New(planQuota), records: quota.New(recordQuota)}
	for _, r := range h.Routes() {
		h.mux.HandleFunc(r.Pattern, h.guard(r))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuse(w, r, job.NewProblem(http.StatusNotFound, "this path does not exist"))
	})
	return h, nil
}

// Who may call a route.
type Who int

// The callers. Agent, Worker, HomeToken and MachineKey are checked by the fleet, in the transaction that does the work.
const (
	Admin      Who = iota // the zero value, so that a route that forgets to say is closed
	Agent                 // bearer of a boot's token
	HomeToken             // bearer of a one-time token
	MachineKey            // an installed system that proves the key of a machine
	Worker                // Agent, or MachineKey for a machine with a live update
	Anybody
)

// Route is one call.
type Route struct {
	Pattern string
	Who     Who
	do      func(w http.ResponseWriter, r *http.Request, by fleet.Proof) error
}

// Routes lists every call there is.
func (h *Handler) Routes() []Route {
	return []Route{
		{"POST " + job.HelloPath, Anybody, h.hello},
		{"POST " + job.ChoosePath, Agent, h.choose},
		{"GET " + job.SettingsPath, Worker, h.settings},
		{"POST " + job.RecoveryPath, Agent, h.recovery},
		{"POST " + job.EventsPath, Agent, h.events},
		{"POST " + job.StreamPath, Worker, h.stream},
		{"POST " + job.PlanPath, Worker, h.plan},
		{"POST " + job.RelayPath, Agent, h.relayReport},
		{"POST " + job.RecordsPath + "{id}", Agent, h.record},
		{"GET " + job.RecordsPath + "{id}", Agent, h.giveRecords},
		{"POST " + job.HomePath, HomeToken, h.home},
		{"POST " + job.CheckInPath, MachineKey, h.checkIn},
		{"POST " + job.UpdatePath, MachineKey, h.askUpdate},
		{"GET /v1/machines", Admin, h.machines},
		{"GET /v1/machines/{key}", Admin, h.machine},
		{"POST /v1/machines/{key}/install", Admin, h.install},
		{"POST /v1/machines/{key}/plan", Admin, h.planLayout},
		{"POST /v1/machines/{key}/update", Admin, h.update},
		{"POST /v1/machines/{key}/erase", Admin, h.erase},
		{"POST /v1/machines/{key}/relay", Admin, h.relay},
		{"POST /v1/machines/{key}/resume", Admin, h.resume},
		{"POST /v1/machines/{key}/cancel", Admin, h.cancel},
		{"POST /v1/machines/{key}/approve", Admin, h.approve},
		{"POST /v1/machines/{key}/rename", Admin, h.rename},
		{"POST /v1/machines/{key}/merge", Admin, h.merge},
		{"GET /v1/machines/{key}/settings", Admin, h.showSettings},
		{"PUT /v1/machines/{key}/settings", Admin, h.putSettings},
		{"PATCH /v1/machines/{key}/settings", Admin, h.changeSettings},
		{"DELETE /v1/machines/{key}/settings", Admin, h.clearSettings},
		{"POST /v1/machines/{key}/recovery-key", Admin, h.readRecovery},
		{"PUT /v1/settings", Admin, h.putManySettings},
		{"DELETE /v1/machines/{key}", Admin, h.delete},
		{"GET /v1/machines/{key}/log", Admin, h.log},
		{"GET /v1/machines/{key}/tables", Admin, h.savedTables},
		{"GET /v1/multicast", Admin, h.multicast},
		{"POST /v1/multicast/{id}/{action}", Admin, h.control},
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Allow reports whether r has the administrator's token. Its error is a *job.Problem with status 401.
func (h *Handler) Allow(r *http.Request) error {
	sum := sha256.Sum256([]byte(bearer(r)))
	if subtle.ConstantTimeCompare(sum[:], h.admin[:]) != 1 {
		return job.NewProblem(http.StatusUnauthorized, "the administrator's token is missing or wrong: "+
			"give --token-file FILE, a copy of admin.token in the server's state directory")
	}
	return nil
}

// guard lets a caller who may call the route in, and gives the request a slot of the budget for bodies. An agent's
// token is looked up before its body is read.
func (h *Handler) guard(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by := proofOf(r)
		known, err := false, error(nil)
		who := route.Who
		if who == Worker {
			if who = Agent; by.Token == "" && by.Key != "" {
				who = MachineKey
			}
		}
		switch who {
		case Admin:
			known, err = true, h.Allow(r)
		case Agent:
			var s fleet.Session
			s, err = h.o.Fleet.Session(r.Context(), by)
			known = s.Ordered
		case MachineKey:
			var m fleet.Machine
			m, err = h.o.Fleet.KeyOwner(r.Context(), by.Key)
			known = m.Rank == fleet.Ordered
		default:
			if who == HomeToken && by.Token == "" {
				err = fleet.ErrToken
				break
			}
			known = h.o.Fleet.KnownAddress(r.Context(), quota.Key(r.RemoteAddr))
		}
		if err == nil {
			err = h.serve(w, r, route, by, known)
		}
		if err != nil {
			h.refuse(w, r, err)
		}
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, route Route, by fleet.Proof, known bool) error {
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		with, hold, err := h.hold(r, known)
		if err != nil {
			return err
		}
		defer hold.Release()
		r = with
	}
	return route.do(w, r, by)
}

// proofOf is what r shows of the boot that sends it.
func proofOf(r *http.Request) fleet.Proof {
	return fleet.Proof{Token: bearer(r), Key: job.KeyOf(r.TLS)}
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
		p = job.NewProblem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body has more than %d bytes", large.Limit))
	case errors.Is(err, fleet.ErrUnknown):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoSession):
		p = job.NewProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNoImage):
		p = job.NewProblem(http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, fleet.ErrAmbiguous), errors.Is(err, fleet.ErrBusy), errors.Is(err, fleet.ErrOver):
		p = job.NewProblem(http.StatusConflict, err.Error())
	case errors.Is(err, fleet.ErrClosed), errors.Is(err, fleet.ErrUnapproved), errors.Is(err, fleet.ErrWeakKey):
		h.o.Log.Info("a boot was refused", "path", r.URL.Path, "remote", r.RemoteAddr, "why", err)
		p = job.NewProblem(http.StatusForbidden, err.Error())
	case errors.Is(err, fleet.ErrGuesses):
		p = job.NewProblem(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, fleet.ErrInvalid), errors.Is(err, fleet.ErrCode):
		p = job.NewProblem(http.StatusBadRequest, err.Error())
	case errors.Is(err, fleet.ErrOften):
		p = job.NewProblem(http.StatusTooManyRequests, err.Error())
		w.Header().Set("Retry-After", "5")
	case errors.Is(err, fleet.ErrToken), errors.Is(err, fleet.ErrKey):
		p = job.NewProblem(http.StatusUnauthorized, err.Error())
	case errors.Is(err, fleet.ErrRecords):
		p = job.NewProblem(http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, quota.ErrFull), errors.Is(err, fleet.ErrFull), errors.Is(err, fleet.ErrNoRoom):
		p = job.NewProblem(http.StatusServiceUnavailable, err.Error()+"; try again later")
		w.Header().Set("Retry-After", "5")
	case errors.Is(err, fleet.ErrDiskFull):
		h.o.Log.Error("the state disk is full", "method", r.Method, "path", r.URL.Path, "error", err)
		p = job.NewProblem(http.StatusInsufficientStorage,
			fleet.ErrDiskFull.Error()+"; free space on the filesystem of the server's state directory")
	case r.Context().Err() != nil:
		return
	default:
		h.o.Log.Error("answering a request failed", "method", r.Method, "path", r.URL.Path,
			"remote", r.RemoteAddr, "error", err)
		p = job.NewProblem(http.StatusInternalServerError, "the server could not do it; its log says why")
	}
	if p.Status == http.StatusUnauthorized {
		h.o.Log.Warn("request without a valid token or key", "method", r.Method, "path", r.URL.Path,
			"remote", r.RemoteAddr)
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
		status, kind, body = http.StatusInternalServerError, "text/plain", []byte("writing the reply as JSON failed")
	}
	send(w, status, kind, append(body, '\n'))
}

// send answers with a body of this kind.
func send(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body) // who is gone does not read it
}
