package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// Streams of events that are open. Each asks the fleet again after each change, at most four times a second.
var eventQuota = quota.Options{
	What:  "streams of events",
	Total: quota.Amount{Slots: 64},
	Each:  quota.Amount{Slots: 16},
}

const (
	eventPause = 250 * time.Millisecond // in which changes gather
	eventBeat  = 15 * time.Second       // between signs of life; then the token is looked at again
	eventTime  = 30 * time.Second       // for a write: a slower listener is let go, and comes back
	eventPage  = 200                    // entries at once
)

type streamEvents struct {
	Last int64 `header:"Last-Event-ID" default:"-1" doc:"the number of the last entry that is known; -1 begins now"`
}

// Resolve refuses a body: a program that sends one expects an answer that ends (huma.Resolver).
func (*streamEvents) Resolve(c huma.Context) []error {
	if r, _ := humago.Unwrap(c); r.ContentLength != 0 {
		return []error{(*refused)(job.NewProblem(http.StatusBadRequest, "this call takes no body, and its answer does "+
			"not end"))}
	}
	return nil
}

// streamed is an answer that the handler writes as it comes.
type streamed struct{ Body func(huma.Context) }

// operateEvents registers the stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (h *Handler) operateEvents(a huma.API, op huma.Operation) {
	op.Responses = map[string]*huma.Response{"200": {Description: "Messages whose event is entry and whose id is its " +
		"number. A client that comes back with the last number misses nothing.", Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: schemaOf[fleet.MachineEntry](a.OpenAPI().Components.Schemas)}}}}
	register(a, op, account.Viewer, func(ctx context.Context, in *streamEvents) (*streamed, error) {
		hold, err := h.listeners.Take(quota.Key(callerOf(ctx).remote), true, 0)
		if err != nil {
			return nil, h.refusal(ctx, err)
		}
		last, err := h.o.Fleet.LastEntry(ctx)
		if err != nil {
			hold.Release()
			return nil, h.refusal(ctx, err)
		}
		if in.Last >= 0 { // one that is not yet there is from before the state was restored
			last = min(in.Last, last)
		}
		return &streamed{func(c huma.Context) {
			defer hold.Release()
			_, w := humago.Unwrap(c)
			h.pour(ctx, w, last)
		}}, nil
	})
}

// messages begins a stream of server-sent events. The function that it returns sends a text, and returns false if the
// listener is gone or too slow.
func messages(w http.ResponseWriter) func(text string) bool {
	c := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	return func(text string) bool {
		c.SetWriteDeadline(time.Now().Add(eventTime)) // what cannot set one, a test's recorder, does not block either
		_, err := io.WriteString(w, text)
		return err == nil && c.Flush() == nil
	}
}

// pour writes entries after last, and goes on until the caller is gone, may no longer have them, or reads too slowly.
func (h *Handler) pour(ctx context.Context, w http.ResponseWriter, last int64) {
	send := messages(w)
	beat := time.NewTicker(h.beat)
	defer beat.Stop()
	for ok := send(fmt.Sprintf("retry: 2000\nid: %d\n\n", last)); ok; {
		grown := h.o.Fleet.Growth()
		entries, err := h.o.Fleet.Entries(ctx, last, eventPage)
		if err != nil {
			if ctx.Err() == nil {
				h.o.Log.Error("a stream of events ends", "remote", callerOf(ctx).remote, "error", err)
			}
			return
		}
		var text strings.Builder
		for _, e := range entries {
			b, err := json.Marshal(e) // has no line breaks
			if err != nil {
				h.o.Log.Error("a stream of events ends", "machine", e.Machine, "entry", e.ID, "error", err)
				return
			}
			fmt.Fprintf(&text, "id: %d\nevent: entry\ndata: %s\n\n", e.ID, b)
			last = e.ID
		}
		if text.Len() > 0 && !send(text.String()) {
			return
		}
		if len(entries) == eventPage {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if callerOf(ctx).again() != nil {
				return
			}
			ok = send(":\n\n")
			continue
		case <-grown:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(eventPause):
		}
	}
}
