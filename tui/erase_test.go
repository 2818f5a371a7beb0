package tui

import (
	"errors"
	"testing"
	"time"

	"griddle/appliance/job"
)

// An erase has phases of its own, names its disk, and says what a stop leaves.
func TestEraseFrames(t *testing.T) {
	f := lab()
	f.Welcome.Job = &job.Spec{Kind: job.Erase, Erase: "S4EWNF0M"}
	at := func(e job.Event) Happened {
		e.Time, e.Job, e.Level = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC), "j", job.Info
		return Happened{e}
	}
	m := send(send(New("1.0", false, Actions{}), f), at(job.Event{Phase: job.PhaseCheck,
		Message: "looking for disk S4EWNF0M"}))
	began := send(m, at(job.Event{Phase: job.PhaseErase, State: job.Started, Disk: "S4EWNF0M",
		Message: "the disk is /dev/nvme0n1, 500 GB, serial S4EWNF0M"}),
		at(job.Event{Phase: job.PhaseErase, Message: "overwriting /dev/nvme0n1 with zeros"}),
		at(job.Event{Phase: job.PhaseErase, Progress: &job.Progress{Done: 125e9, Total: 500e9, DiskBps: 5e8,
			Left: 750 * time.Second}}))
	const result = "/dev/nvme0n1, 500 GB, serial S4EWNF0M: erased; overwrite (clear); all 500 GB read back"
	for name, shown := range map[string]Model{
		"erase":        began,
		"erase-check":  m,
		"erase-done":   send(began, at(job.Event{Phase: job.PhaseVerify, State: job.Done, Message: result}), Ended{}),
		"erase-failed": send(began, Ended{errors.New("byte 4096 of the disk is not zero after the erase")}),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, shown)
		})
	}
}
