package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// Streams says which way each machine gets a stream, and runs the multicast sessions. What the bodies mean is between
// the agent and package multicast; here they are JSON.
type Streams interface {
	// Ask answers a machine that wants a stream.
	Ask(ctx context.Context, who StreamAsker, ask json.RawMessage) (any, error)
	// Report takes in what a machine says of the session that it holds, and returns what it is to do.
	Report(ctx context.Context, machine string, report json.RawMessage) (any, error)
	// List is every session.
	List() any
	// Control does action, "start", "hold", "cap" or "stop", to a session.
	Control(session, action string, c StreamControl) error
}

// StreamAsker is who asks for a stream.
type StreamAsker struct {
	Machine  string // its name
	Relay    bool   // its job is to relay
	Expected int    // machines whose jobs want the same image, itself included

	// Coming and Patience are those of fleet.StreamAsker.
	Coming   []string
	Patience time.Duration
}

// StreamControl is what an action needs in addition to its name.
type StreamControl struct {
	Seconds int64 `json:"seconds,omitempty"` // hold: for how long; 0 continues
	Rate    int64 `json:"rate,omitempty"`    // cap: payload bytes per second; 0 lifts it
}

// For is how long to hold.
func (c StreamControl) For() time.Duration { return time.Duration(min(c.Seconds, 1<<31)) * time.Second }

// Relay asks for a machine to relay an image.
type Relay struct {
	Image   string `json:"image"`
	Replace bool   `json:"replace,omitempty"` // take back what waits or runs on the machine
}

func (h *Handler) stream(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var ask json.RawMessage
	if err := decode(w, r, false, &ask); err != nil {
		return err
	}
	a, err := h.o.Fleet.Streaming(r.Context(), by)
	if err != nil {
		return err
	}
	answer, err := h.o.Streams.Ask(r.Context(), StreamAsker{Machine: a.Machine.Name, Relay: a.Relay, Expected: a.Same,
		Coming: a.Coming, Patience: a.Patience}, ask)
	if err != nil {
		return err
	}
	return give(w, http.StatusOK, answer)
}

func (h *Handler) relayReport(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	var report json.RawMessage
	if err := decode(w, r, false, &report); err != nil {
		return err
	}
	a, err := h.o.Fleet.Streaming(r.Context(), by)
	if err != nil {
		return err
	}
	command, err := h.o.Streams.Report(r.Context(), a.Machine.Name, report)
	if err != nil {
		return err
	}
	return give(w, http.StatusOK, command)
}

func (h *Handler) multicast(context.Context, *struct{}) (any, error) { return h.o.Streams.List(), nil }

type controlStream struct {
	ID     string `path:"id" doc:"of the session"`
	Action string `path:"action" doc:"start, hold, cap or stop"`
	sent[StreamControl]
}

func (h *Handler) control(ctx context.Context, in *controlStream) error {
	id, action, c := in.ID, in.Action, in.body
	if err := h.o.Streams.Control(id, action, c); err != nil {
		return err
	}
	h.o.Log.Info("multicast session controlled", "session", job.Printable(id), "action", job.Printable(action),
		"seconds", c.Seconds, "rate", c.Rate, "remote", callerOf(ctx).remote)
	return nil
}

func (h *Handler) relay(ctx context.Context, in *keyed[Relay]) (Machine, error) {
	return h.give(ctx, in.Key, job.Relay, Install{Image: in.body.Image, Replace: in.body.Replace})
}
