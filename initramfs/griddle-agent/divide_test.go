package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"griddle/appliance/job"
)

// A server that does not answer is waited for; what it refuses is not asked again, and the end of the job ends it.
func TestRecordsWait(t *testing.T) {
	down := errors.New("connection refused")
	for _, c := range []struct {
		name    string
		answers []error
		want    error
		calls   int
	}{
		{"at once", []error{nil}, nil, 1},
		{"server restarts", []error{down, job.NewProblem(503, "restarting"), nil}, nil, 3},
		{"refused", []error{down, job.NewProblem(409, "the job is over")}, job.NewProblem(409, "the job is over"), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls, warned := 0, 0
			r := records{job: "j", failed: func(error, int) { warned++ },
				add: func(_ context.Context, id string, _ json.RawMessage) error {
					calls++
					return c.answers[calls-1]
				}}
			err := r.Record(t.Context(), json.RawMessage(`{}`))
			if (err == nil) != (c.want == nil) || err != nil && err.Error() != c.want.Error() || calls != c.calls {
				t.Errorf("Record = %v after %d calls, want %v after %d", err, calls, c.want, c.calls)
			}
		})
	}
	ended := errors.New("an operator cancelled the job")
	ctx, cancel := context.WithCancelCause(t.Context())
	r := records{failed: func(error, int) { cancel(ended) },
		all: func(context.Context, string) ([]json.RawMessage, error) { return nil, down }}
	if _, err := r.Records(ctx); !errors.Is(err, ended) {
		t.Errorf("Records of a job that ended = %v, want %v", err, ended)
	}
	if err := r.Record(t.Context(), json.RawMessage(`[]`)); err == nil {
		t.Error("a record that no server takes was sent")
	}
}
