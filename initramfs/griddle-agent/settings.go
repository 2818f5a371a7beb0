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

// asker asks for the settings of this machine until they are there.
type asker struct {
	ask  func(context.Context) (job.Settings, error)
	poll func(context.Context) error // asks whether the job is over
	show func(tui.Waiting)
	tell func(level job.Level, message string)
}

// settings asks for the settings of the job's machine; they end with ctx.
func (s *station) settings(spec job.Spec) func(context.Context) (setting.Settings, error) {
	if !spec.Settings {
		return nil
	}
	r := &asker{ask: s.api.settings, poll: s.events.Poll,
		show: func(w tui.Waiting) { s.screen.send(w) },
		tell: func(level job.Level, message string) {
			s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseCheck, Level: level, Message: job.Sentence(message)})
		},
	}
	return r.wait
}

// wait returns the settings when the server gives them. While they wait for an operator, or the server is gone, it asks
// again; it ends when ctx does, when the server refuses, or when what it sends is not valid.
func (r *asker) wait(ctx context.Context) (setting.Settings, error) {
	var now tui.Waiting // what the screen shows
	defer func() { r.show(tui.Waiting{}) }()
	for {
		got, err := r.ask(ctx)
		next := now
		switch {
		case ctx.Err() != nil:
			return setting.Settings{}, context.Cause(ctx)
		case err != nil && !job.Retryable(err):
			return setting.Settings{}, err
		case err != nil:
			next.Lost = unanswered(err)
		case got.State == job.Ready:
			if now.Code != "" {
				r.tell(job.Info, "an operator approved this boot")
			}
			return download.Settings(got.Settings)
		case got.State != job.Waiting || got.Code == "":
			return setting.Settings{}, fmt.Errorf("asking for the machine's settings: the server answered %q without "+
				"a code: use an agent and a server of the same version", job.Printable(string(got.State)))
		default:
			next = tui.Waiting{Code: job.Printable(got.Code)}
		}
		if next.Lost != "" && next.Lost != now.Lost {
			r.tell(job.Warning, next.Lost)
		}
		if now.Code == "" && next.Code != "" {
			// The code itself is for who reads the screen.
			r.tell(job.Info, "the settings of this machine have secrets: they wait for an operator to approve the "+
				"code on its screen")
		}
		if next != now {
			r.show(next)
			now = next
		}
		_ = r.poll(ctx) // the next ask shows the same error
		select {
		case <-ctx.Done():
			return setting.Settings{}, context.Cause(ctx)
		case <-time.After(askEvery):
		}
	}
}
