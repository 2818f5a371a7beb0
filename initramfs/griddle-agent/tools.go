package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs"
	"griddle/initramfs/console"
	"griddle/initramfs/toolbox"
)

// boxOf is the tools archive of the boot image whose files are below root, "/" in a machine.
func boxOf(root string) (*toolbox.Box, error) {
	var build initramfs.Build
	if err := readJSON(root+initramfs.BuildPath, &build); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(root + site.Path)
	if err != nil {
		return nil, fmt.Errorf("reading the boot image: %w", err)
	}
	s, err := site.Parse(b)
	if err != nil {
		return nil, err
	}
	return &toolbox.Box{Archive: build.Tools, Server: s.HTTP, CA: []byte(s.CA), Root: root, State: toolbox.StateDir},
		nil
}

// tools gets programs for a job, patiently: it tries again while the server cannot be reached.
func (s *station) tools(spec job.Spec, phase job.Phase) func(context.Context, ...string) error {
	return func(ctx context.Context, programs ...string) error {
		box, err := boxOf("/")
		if err != nil {
			return err
		}
		box.Tell = func(text string) {
			s.events.Event(job.Event{Job: spec.ID, Phase: phase, Level: job.Info, Message: job.Sentence(text)})
		}
		for attempt := 1; ; attempt++ {
			err := box.Need(ctx, programs...)
			if !errors.Is(err, toolbox.ErrUnreachable) {
				return err
			}
			s.attempt(spec, phase, err, attempt)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(5 * time.Second):
			}
		}
	}
}

// fetchTools is the command fetch-tools of the rescue shell.
func fetchTools(ctx context.Context) error {
	box, err := boxOf("/")
	if err != nil {
		return err
	}
	box.Tell = func(text string) { fmt.Println(text) }
	if err := box.Fetch(ctx); err != nil {
		return err
	}
	fmt.Println(toolsThere)
	return nil
}

const toolsThere = "The tools are there: lsblk, fdisk, parted, smartctl, vi, less, ssh, curl and others."

// awaitTools gets the tools archive before a shell begins on a terminal, and shows how far that is. A line that is
// typed ends the waiting, and is left to the shell: the tools come meanwhile. Without them the shell has those of the
// boot image.
func awaitTools(ctx context.Context, tty *os.File, box *toolbox.Box) {
	if box.Has() {
		return
	}
	say := func(format string, args ...any) { fmt.Fprintf(tty, "\r\x1b[K"+format, args...) }
	type state struct{ done, total int64 }
	now, ended := make(chan state, 1), make(chan error, 1)
	box.Tell = nil
	box.Progress = func(done, total int64) {
		select {
		case now <- state{done, total}:
		default: // an older one is not shown yet
		}
	}
	go func() { ended <- box.Fetch(ctx) }()
	say("Getting more tools from %s. Enter starts the shell without waiting.", box.Server)
	for {
		select {
		case err := <-ended:
			if err != nil {
				say("The shell has only the tools of the boot image. %s\r\n\"fetch-tools\" tries again.\r\n\r\n",
					job.Sentence(err.Error()))
				return
			}
			say("%s\r\n\r\n", toolsThere)
			return
		case s := <-now:
			say("Getting more tools: %.1f of %.1f MB. Enter starts the shell without waiting.", float64(s.done)/1e6,
				float64(s.total)/1e6)
		case <-ctx.Done():
			return
		default:
			if console.Typed(tty, 100*time.Millisecond) {
				say("The tools come meanwhile. \"fetch-tools\" waits for them.\r\n\r\n")
				return
			}
		}
	}
}

// shell runs the rescue shell on the console that the last key came from, with the tools archive if it can be had.
func (s *station) shell(ctx context.Context) error {
	return s.screen.lend(greeting, func(tty *os.File, path string) error {
		box, err := boxOf("/")
		if err == nil {
			awaitTools(ctx, tty, box)
		} else {
			s.log.Warn("looking for the tools archive", "error", err)
		}
		return console.Shell(tty, path).Run()
	})
}
