package tui

import (
	"errors"
	"testing"
	"time"

	"griddle/appliance/job"
)

// An update has other phases than an install, and takes nothing from the machine.
func TestUpdateFrames(t *testing.T) {
	f := lab()
	f.Welcome.Job = &job.Spec{Kind: job.Update, Image: job.Image{Ref: "web:20261121.2@amd64"}}
	at := func(phase job.Phase, text string) Happened {
		return Happened{job.Event{Time: time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC), Job: "j", Phase: phase,
			Level: job.Info, Message: text}}
	}
	m := send(send(New("1.0", false, Actions{}), f), at(job.PhaseCheck, "checking web:20261121.2@amd64 and the pool"))
	for name, shown := range map[string]Model{
		"update":        send(m, at(job.PhaseBootable, "creating the new root")),
		"update-done":   send(m, at(job.PhaseSwitch, "the next start takes web-20261121.2@amd64"), Ended{}),
		"update-failed": send(m, Ended{errors.New("the battery is too low: it has 9 percent")}),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, shown)
		})
	}
}
