package main

import (
	"context"
	"fmt"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/download"
	"griddle/tui"
)

// askEvery is how often the agent asks for settings that wait for an operator.
const askEvery = 5 * time.Second

// asker asks for the settings of this machine, or for its recovery keys, until they are there.
type asker struct {
	what  string // "settings" or "recovery keys"
	waits string // begins what the journal has while they wait for an operator
	ask   func(context.Context) (job.Settings, error)
	poll  func(context.Context) error // asks whether the job is over
	show  func(tui.Waiting)
	tell  func(level job.Level, message string)
}

// settings asks for the settings of the job's machine; they end with ctx.
func (s *station) settings(spec job.Spec) func(context.Context) (setting.Settings, error) {
	if !spec.Settings {
		return nil
	}
	r := s.asker(spec, s.api.settings)
	r.what, r.waits = "settings", "the settings of this machine have secrets: they wait"
	return r.wait
}

// recovery asks for the recovery keys of the job's machine; they end with ctx.
func (s *station) recovery(spec job.Spec) func(context.Context) ([]string, error) {
	if !spec.Recovery {
		return nil
	}
	r := s.asker(spec, func(ctx context.Context) (job.Settings, error) { return s.api.recovery(ctx, spec.ID) })
	r.what, r.waits = "recovery keys", "the recovery keys of this machine wait"
	return r.keys
}

// asker asks for something of the job's machine, and says in its journal that it waits.
func (s *station) asker(spec job.Spec, ask func(context.Context) (job.Settings, error)) *asker {
	return &asker{ask: ask, poll: s.events.Poll,
		show: func(w tui.Waiting) { s.screen.send(w) },
		tell: func(level job.Level, message string) {
			s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseCheck, Level: level, Message: job.Sentence(message)})
		},
	}
}

// wait returns the settings when the server gives them; an error too when they are not valid.
func (r *asker) wait(ctx context.Context) (setting.Settings, error) {
	got, err := r.until(ctx)
	if err != nil {
		return setting.Settings{}, err
	}
	return download.Settings(got.Settings)
}

// keys returns the recovery keys when the server gives them; an error too when they are no such keys.
func (r *asker) keys(ctx context.Context) ([]string, error) {
	got, err := r.until(ctx)
	if err != nil {
		return nil, err
	}
	return download.RecoveryKeys(got.Recovery)
}

// until returns what the server gives. While that waits for an operator, or the server is gone, it asks again; it ends
// when ctx does, or when the server refuses.
func (r *asker) until(ctx context.Context) (job.Settings, error) {
	var now tui.Waiting // what the screen shows
	defer func() { r.show(tui.Waiting{}) }()
	for {
		got, err := r.ask(ctx)
		next := now
		switch {
		case ctx.Err() != nil:
			return job.Settings{}, context.Cause(ctx)
		case err != nil && !job.Retryable(err):
			return job.Settings{}, err
		case err != nil:
			next.Lost = unanswered(err)
		case got.State == job.Ready:
			if now.Code != "" {
				r.tell(job.Info, "an operator approved this boot")
			}
			return got, nil
		case got.State != job.Waiting || got.Code == "":
			return job.Settings{}, fmt.Errorf("asking for the machine's %s: the server answered %q without a code: "+
				"use an agent and a server of the same version", r.what, job.Printable(string(got.State)))
		default:
			next = tui.Waiting{Code: job.Printable(got.Code)}
		}
		if next.Lost != "" && next.Lost != now.Lost {
			r.tell(job.Warning, next.Lost)
		}
		if now.Code == "" && next.Code != "" {
			// The code itself is for who reads the screen.
			r.tell(job.Info, r.waits+" for an operator to approve the code on its screen")
		}
		if next != now {
			r.show(next)
			now = next
		}
		_ = r.poll(ctx) // the next ask shows the same error
		select {
		case <-ctx.Done():
			return job.Settings{}, context.Cause(ctx)
		case <-time.After(askEvery):
		}
	}
}
