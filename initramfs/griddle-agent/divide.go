package main

import (
	"context"
	"encoding/json"
	"time"

	"griddle/appliance/job"
)

// records keeps what is done to the disks by the layout of a job on the server. It waits for a server that does not
// answer, until the job ends.
type records struct {
	add    func(ctx context.Context, job string, record json.RawMessage) error
	all    func(ctx context.Context, job string) ([]json.RawMessage, error)
	job    string
	failed func(err error, attempt int)
	pause  time.Duration
}

// records are those of a job.
func (s *station) records(spec job.Spec, phase job.Phase) records {
	return records{job: spec.ID, pause: 5 * time.Second,
		add: func(ctx context.Context, id string, r json.RawMessage) error {
			return s.api.current().Record(ctx, id, r)
		},
		all: func(ctx context.Context, id string) ([]json.RawMessage, error) {
			return s.api.current().Records(ctx, id)
		},
		failed: func(err error, attempt int) { s.attempt(spec, phase, err, attempt) }}
}

// Record is durable on the server when it returns nil.
func (r records) Record(ctx context.Context, record json.RawMessage) error {
	if err := job.CheckRecord(record); err != nil {
		return err
	}
	return r.patiently(ctx, func() error { return r.add(ctx, r.job, record) })
}

// Records are all that there are.
func (r records) Records(ctx context.Context) (all []json.RawMessage, err error) {
	err = r.patiently(ctx, func() (err error) {
		all, err = r.all(ctx, r.job)
		return err
	})
	return all, err
}

// patiently does something until the server has answered. What it refuses, it refuses again.
func (r records) patiently(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || !job.Retryable(err) {
			return err
		}
		r.failed(err, attempt)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(r.pause):
		}
	}
}
