package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"griddle/appliance/account"
	"griddle/appliance/console"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Typed are keys for the screen of a machine, in their order.
type Typed struct {
	Keys []job.ScreenKey `json:"keys" minItems:"1" maxItems:"64"`
}

// The names of the events of a watched screen, whose data are console.Status and job.ScreenFrame.
const (
	eventStatus = "status"
	eventFrame  = "frame"
)

const (
	// how often an operator who watches hears of the server if the screen does not change, and how often it is asked
	// whether he may still watch
	beat    = 10 * time.Second
	longest = 9 * time.Minute // of one stream
)

type watchConsole struct {
	Key     string `path:"key" doc:"a name, a MAC address or a UUID"`
	Columns int64  `query:"columns" minimum:"0" doc:"of the terminal on which it is watched; 0 for 80"`
	Rows    int64  `query:"rows" minimum:"0" doc:"of the terminal on which it is watched; 0 for 24"`
}

// consoles registers the calls of those who watch the screen of a machine.
func (h *Handler) consoles(a huma.API) {
	register(a, huma.Operation{OperationID: "watch-console", Method: http.MethodGet,
		Path: "/v1/machines/{key}/console", Summary: "Watch the screen of a machine, as server-sent events",
		Responses: map[string]*huma.Response{"200": {Description: "Events with the names status and frame",
			Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}},
		account.Viewer, func(ctx context.Context, in *watchConsole) (*huma.StreamResponse, error) {
			out, err := h.watchConsole(ctx, in)
			if err != nil {
				return nil, h.refusal(ctx, err)
			}
			return &huma.StreamResponse{Body: out}, nil
		})
	routeEmpty(h, a, huma.Operation{OperationID: "type-console", Method: http.MethodPost,
		Path: "/v1/machines/{key}/console/keys", Summary: "Give keys to the screen of a machine"}, account.Operator,
		h.typeConsole)
}

// watchConsole begins to watch the screen of a machine; the journal says who does.
func (h *Handler) watchConsole(ctx context.Context, in *watchConsole) (func(huma.Context), error) {
	v, _, err := h.o.Fleet.Show(ctx, in.Key)
	if err != nil {
		return nil, err
	}
	by, m := callerOf(ctx), v.Machine
	limit := func(n int64) int { return int(min(n, 1000)) }
	w, err := h.screens.Watch(m.ID, by.Name, limit(in.Columns), limit(in.Rows))
	if err != nil {
		return nil, err
	}
	if h.screens.Begins(m.ID, by.Name) {
		if err := h.o.Fleet.Note(ctx, m.ID, fmt.Sprintf("%s watches the screen of this machine, from %s",
			job.Printable(by.Name), job.Printable(by.remote))); err != nil {
			w.Close()
			return nil, err
		}
		h.o.Log.Info("an operator watches a screen", "machine", m.Name, "who", job.Printable(by.Name),
			"remote", by.remote)
	}
	return func(c huma.Context) {
		defer w.Close()
		r, out := humago.Unwrap(c)
		h.streamConsole(r.Context(), out, w)
	}, nil
}

// streamConsole sends what is new until the operator is gone, reads too slowly or may no longer watch, or for a while.
func (h *Handler) streamConsole(ctx context.Context, out http.ResponseWriter, w *console.Watching) {
	send := messages(out)
	begun, every := time.Now(), min(beat, h.beat)
	asked := begun
	for ctx.Err() == nil && time.Since(begun) < longest {
		news := w.Next(ctx, every)
		if time.Since(asked) >= every {
			if asked = time.Now(); callerOf(ctx).again() != nil {
				return
			}
		}
		text, err := told(news)
		if err != nil {
			h.o.Log.Error("a watched screen could not be written as JSON", "error", err)
			return
		}
		if !send(text) {
			return
		}
	}
}

// told is news as events; a comment if there is nothing new.
func told(news console.News) (string, error) {
	var text strings.Builder
	add := func(name, id string, v any) error {
		b, err := json.Marshal(v) // has no line breaks
		fmt.Fprintf(&text, "%sevent: %s\ndata: %s\n\n", id, name, b)
		return err
	}
	var errs []error
	if news.Status != nil {
		errs = append(errs, add(eventStatus, "", news.Status))
	}
	if news.Frame != nil {
		errs = append(errs, add(eventFrame, fmt.Sprintf("id: %d\n", news.Frame.Number), news.Frame))
	}
	if text.Len() == 0 {
		text.WriteString(":\n\n")
	}
	return text.String(), errors.Join(errs...)
}

// typeConsole gives the keys of an operator to a machine. The journal says who types, and later what kind of keys.
func (h *Handler) typeConsole(ctx context.Context, in *keyed[Typed]) error {
	v, _, err := h.o.Fleet.Show(ctx, in.Key)
	if err != nil {
		return err
	}
	by, m := callerOf(ctx), v.Machine
	if !h.screens.Takes(m.ID) {
		return console.ErrNoKeys
	}
	for _, k := range in.body.Keys {
		if err := k.Check(); err != nil {
			return fmt.Errorf("%w: %w", console.ErrKey, err)
		}
	}
	about(ctx, console.Kinds(in.body.Keys))
	if h.screens.Tally(m.ID, by.Name, in.body.Keys) {
		if err := h.o.Fleet.Note(ctx, m.ID, fmt.Sprintf("%s types at the screen of this machine, from %s",
			job.Printable(by.Name), job.Printable(by.remote))); err != nil {
			return err
		}
	}
	return h.screens.Type(m.ID, in.body.Keys)
}

// typed writes what kind of keys an operator typed to the journal.
func (h *Handler) typed(machine, who, what string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.o.Fleet.Note(ctx, machine, job.Printable(who)+" typed at the screen of this machine: "+
		what); err != nil {
		h.o.Log.Error("the journal does not have what was typed at a screen", "who", job.Printable(who), "keys", what,
			"error", err)
	}
}

// screen takes a frame of a machine.
func (h *Handler) screen(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var in job.ScreenFrame
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	who, err := h.o.Fleet.Session(r.Context(), by)
	if err != nil {
		return err
	}
	if err := h.approves(r.Context(), who); err != nil {
		return err
	}
	out, err := h.screens.Take(who.Machine, who.Boot, in)
	if err != nil {
		return err
	}
	return give(w, http.StatusOK, out)
}

// approves notes for those who watch whether an operator has to approve a boot of the machine. Then no screen of a boot
// that is not approved is shown: an operator could take the code of another computer for that of the machine.
func (h *Handler) approves(ctx context.Context, who fleet.Session) error {
	if who.Approved || !h.screens.Watched(who.Machine) {
		return nil
	}
	v, _, err := h.o.Fleet.Show(ctx, who.Machine)
	if err != nil {
		return err
	}
	if len(v.Waiting) > 0 {
		h.screens.Hello(who.Machine, console.Boot{ID: who.Boot, Shows: true, Waiting: true})
	}
	return nil
}

// screenKeys answers with the keys of operators, and waits for one.
func (h *Handler) screenKeys(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil {
		return job.NewProblem(http.StatusBadRequest, "after must be the number of a key")
	}
	who, err := h.o.Fleet.Session(r.Context(), by)
	if err != nil {
		return err
	}
	return give(w, http.StatusOK, h.screens.Keys(r.Context(), who.Machine, who.Boot, after,
		job.ScreenWait*time.Second))
}

// screenProblem is the problem that an error of a screen is, nil for others.
func screenProblem(err error) *job.Problem {
	switch {
	case errors.Is(err, console.ErrNoKeys):
		return job.NewProblem(http.StatusConflict, err.Error())
	case errors.Is(err, console.ErrBusy), errors.Is(err, console.ErrFull):
		return job.NewProblem(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, console.ErrFrame), errors.Is(err, console.ErrKey):
		return job.NewProblem(http.StatusBadRequest, err.Error())
	}
	return nil
}
