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
//	agent     POST /v1/agent/screen                job.ScreenFrame -> job.ScreenWatch
//	agent     GET  /v1/agent/screen/keys?after=N   job.ScreenKeys; waits for a key
//	home      POST /v1/agent/home                  job.HomeReport -> 204
//	machine   POST /v1/agent/check-in              job.CheckIn -> job.CheckedIn
//	machine   POST /v1/agent/update                job.UpdateAsk -> job.Spec
//	viewer    GET  /v1/machines?filter=TERMS&after=NAME&limit=N   Machines; a page of them, without inventories
//	viewer    GET  /v1/machines/KEY                Machine with all its jobs
//	operator  POST /v1/machines/KEY/install        Install -> 201 Machine
//	viewer    POST /v1/machines/KEY/plan           PlanLayout -> Planned; changes nothing
//	operator  POST /v1/machines/KEY/update         Update -> 201 Machine, or 200 if it has the image
//	operator  POST /v1/machines/KEY/erase          Erase -> 201 Machine
//	operator  POST /v1/machines/KEY/reboot         Reboot -> 201 Machine
//	operator  POST /v1/machines/KEY/rollback       Rollback -> 201 Machine
//	operator  POST /v1/machines/KEY/run            Run -> 201 Machine; for administrators, unless the site says more
//	operator  POST /v1/machines/KEY/relay          Relay -> 201 Machine
//	operator  POST /v1/machines/KEY/resume         Machine; its last install by a layout again
//	operator  POST /v1/machines/KEY/cancel         Machine
//	operator  POST /v1/machines/KEY/approve        Approve -> Machine
//	operator  POST /v1/machines/KEY/rename         Rename -> Machine
//	operator  POST /v1/machines/KEY/merge          Merge -> Machine
//	operator  POST /v1/labels                      Labels -> list of names; all or none
//	operator  POST /v1/machines/KEY/retire         Machine
//	operator  POST /v1/machines/KEY/reuse          Machine
//	operator  POST /v1/machines/KEY/replace        Replace -> Machine
//	viewer    GET  /v1/groups                      Groups
//	viewer    GET  /v1/groups/NAME                 Group
//	operator  POST /v1/groups/NAME                 GroupChange -> 201 Group
//	operator  PATCH /v1/groups/NAME                GroupChange -> Group
//	operator  DELETE /v1/groups/NAME               204
//	viewer    GET  /v1/machines/KEY/settings       Settings
//	operator  PUT  /v1/machines/KEY/settings       setting.Document -> Settings; replaces the machine's own
//	operator  PATCH /v1/machines/KEY/settings      SettingsChange -> Settings
//	operator  DELETE /v1/machines/KEY/settings     204
//	operator  PUT  /v1/settings                    ManySettings -> list of names; all or none
//	admin     POST /v1/machines/KEY/recovery-key   ReadRecovery -> Recovery; the journal says so
//	operator  DELETE /v1/machines/KEY              204; with ?recovery=lose also if it has recovery keys
//	viewer    GET  /v1/machines/KEY/log?after=N&wait=SECONDS   Log; waits for an entry after N
//	viewer    GET  /v1/machines/KEY/console?columns=N&rows=N   events: console.Status, job.ScreenFrame
//	operator  POST /v1/machines/KEY/console/keys   Typed -> 204
//	viewer    GET  /v1/machines/KEY/tables         SavedTables
//	viewer    GET  /v1/events                      server-sent events, a fleet.MachineEntry each; it does not end
//	viewer    GET  /v1/multicast                   list of multicast.Listed
//	operator  POST /v1/multicast/ID/ACTION         StreamControl -> 204; start, hold, cap, stop
//	operator  POST /v1/orders/preview              MakeOrder -> OrderPreview; changes nothing
//	operator  POST /v1/orders                      MakeOrder -> 201 Order
//	viewer    GET  /v1/orders?before=ID&limit=N    Orders; a page of them, without machines
//	viewer    GET  /v1/orders/ID                   Order
//	operator  POST /v1/orders/ID/ACTION            Order; hold, continue, cancel
//	operator  POST /v1/orders/ID/retry             RetryOrder -> Order
//
// A KEY is a name, a MAC address or a UUID. Every call but hello and check-in needs "Authorization: Bearer TOKEN": the
// one of the Welcome, the one-time token of the job, or the administrator's. viewer, operator and admin are the roles
// that a call needs (account.Role). A boot that said hello with a key
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
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/account"
	"griddle/appliance/account/oidc"
	"griddle/appliance/console"
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
	Fleet *fleet.Fleet
	// Accounts know who sends a request, and keep the log of what operators change.
	Accounts *account.Store
	Provider *oidc.Provider // the site's identity provider; nil for none
	Images   Images
	Names    Names
	Streams  Streams
	Sources  []string                // base URLs of blobs, which each job is given
	Home     string                  // https base URL that installed systems report to
	Admin    string                  // the administrator's token, at least 16 bytes
	Notices  func() []string         // sentences for the head of the list of machines; nil for none
	Private  bool                    // Sources take the token of the boot
	Signed   Notices                 // for installed machines; nil says nothing to them
	Site     func() setting.Document // the settings of all machines; nil for none
	Log      *slog.Logger
	Now      func() time.Time
}

// Handler serves the API. Other TLS handlers of the server use its Who.
type Handler struct {
	o     Options
	admin [sha256.Size]byte
	mux   *http.ServeMux
	api   huma.API // of operators

	operators []Route // that huma registered

	bodies    *quota.Quota
	plans     *quota.Quota
	listeners *quota.Quota  // of streams of events
	beat      time.Duration // between their signs of life
	// of Record and Records
	records *quota.Quota
	last    lastImage
	screens *console.Hub
}

// New makes a Handler.
func New(o Options) (*Handler, error) {
	if len(o.Admin) < 16 {
		return nil, errors.New("making the API: the administrator's token has less than 16 bytes")
	}
	if o.Accounts == nil {
		return nil, errors.New("making the API: there are no accounts, and so no audit log")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Handler{o: o, admin: sha256.Sum256([]byte(o.Admin)), mux: http.NewServeMux(), bodies: quota.New(bodyQuota),
		plans: quota.New(planQuota), records: quota.New(recordQuota),
		listeners: quota.New(eventQuota), beat: eventBeat}
	h.screens = console.New(console.Options{Now: o.Now, Typed: h.typed})
	h.api = huma.NewAPI(humaConfig(), adapter{h})
	h.operate(h.api)
	describe(h.api.OpenAPI())
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
	Operators  Who = iota // people and their programs, with the role of the route; without one it is closed to all
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
	Role    account.Role // that an operator needs
	Reads   bool         // it changes nothing, so that the audit log does not have it; GET reads always
	do      func(w http.ResponseWriter, r *http.Request, by fleet.Proof) error
}

// Routes lists every call there is.
func (h *Handler) Routes() []Route { return append(h.agents(), h.operators...) }

// agents are the calls of machines.
func (h *Handler) agents() []Route {
	return []Route{
		{Pattern: "POST " + job.HelloPath, Who: Anybody, do: h.hello},
		{Pattern: "POST " + job.ChoosePath, Who: Agent, do: h.choose},
		{Pattern: "GET " + job.SettingsPath, Who: Worker, do: h.settings},
		{Pattern: "POST " + job.RecoveryPath, Who: Agent, do: h.recovery},
		{Pattern: "POST " + job.EventsPath, Who: Agent, do: h.events},
		{Pattern: "POST " + job.StreamPath, Who: Worker, do: h.stream},
		{Pattern: "POST " + job.PlanPath, Who: Worker, do: h.plan},
		{Pattern: "POST " + job.RelayPath, Who: Agent, do: h.relayReport},
		{Pattern: "POST " + job.RecordsPath + "{id}", Who: Agent, do: h.record},
		{Pattern: "GET " + job.RecordsPath + "{id}", Who: Agent, do: h.giveRecords},
		{Pattern: "POST " + job.ScreenPath, Who: Agent, do: h.screen},
		{Pattern: "GET " + job.ScreenKeysPath, Who: Agent, do: h.screenKeys},
		{Pattern: "POST " + job.HomePath, Who: HomeToken, do: h.home},
		{Pattern: "POST " + job.CheckInPath, Who: MachineKey, do: h.checkIn},
		{Pattern: "POST " + job.UpdatePath, Who: MachineKey, do: h.askUpdate},
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// guard lets a caller who may call the route in, notes what operators change before it is done, and gives the request
// a slot of the budget for bodies. An agent's token is looked up before its body is read.
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
		case Operators:
			known = true
			r, err = h.enter(r, route)
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
		if err == nil && route.Who == Operators && !route.Reads {
			var end func()
			if w, end, err = h.begin(w, r, route); err == nil {
				defer end()
			}
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
