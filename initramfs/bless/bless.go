// Package bless puts a new root on trial, and finds out whether it works: a root that does is the good one from then
// on, and one that does not is left again without anyone's help.
//
// The units of package unit call Deadline when a trial begins, Health when the system is up, and Bless when its checks
// passed. A root is on trial if the boot loader counted this start, and says so on the kernel's command line (OnTrial).
// Bless also runs in all other starts: there it finds out that an earlier root failed.
//
// # Checks
//
// Health runs after multi-user.target, so all that this target starts was started. Units that failed are reported, and
// do not count: many systems have some. Executable files in /etc/griddle/health.d count (package hookfile says which):
// each must succeed within a minute. Then the server must answer, if the system before could reach it;
// /etc/griddle/health.json decides otherwise: {"server":"required"} or {"server":"optional"}.
//
// # What is kept
//
// All of it is in the folder griddle of @persistent, which is found through the pool, so that a system whose mounts
// fail can use it: trial.json is the trial that runs or the last one that failed (Trial), and the history (package
// history) gets how each trial began and ended. If a trial leaves only its begin, a power cut, a panic or a hang ended
// it. The good root reads trial.json at its start, and removes it.
package bless

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
)

// OnTrial reports whether a kernel's command line, as in /proc/cmdline, has the word of a counted start.
func OnTrial(commandLine string) bool {
	return slices.Contains(strings.Fields(commandLine), bootloader.Try)
}

// Pool is what a pool.Pool can do that is needed here.
type Pool interface {
	Read() (pool.Contents, error)
	Dir() string
	Bless(name string) error
	Failed() (string, error)
	Forget(name string) error
	Close() error
}

// Options are the system and its surroundings. Only Log may be left out.
type Options struct {
	Open    func() (Pool, error)            // the pool that this system runs from
	Root    string                          // path of its top: "/"
	OnTrial bool                            // see OnTrial
	Started attempt.Start                   // how the system was started; its Boot is another one at each start
	Server  func(ctx context.Context) error // reaches the server once
	Reached bool                            // the system before reached the server
	Log     *slog.Logger

	Wait  func(ctx context.Context, d time.Duration) // nil sleeps
	Reset func() error                               // restarts the machine by force; nil does
}

func (o Options) filled() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	if o.Reset == nil {
		o.Reset = reset
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// again is the pause before the pool is tried once more. Devices may take long to appear, also that of the EFI system
// partition.
const again = 3 * time.Second

// Bless makes the root that runs the good one if it is on trial, or if GRUB started it because the good one is lost. It
// does not if a person went back during the trial. It marks the good root if it was not marked yet, as after an
// install. A candidate that failed goes to the history, with its reason, and is forgotten. It tries until all of this
// succeeded or ctx ends.
func Bless(ctx context.Context, o Options) error {
	o = o.filled()
	for told := ""; ; o.Wait(ctx, again) {
		err := o.with(func(r running) error { return r.settle(&told) })
		if err == nil || ctx.Err() != nil {
			return err
		}
		o.Log.Warn("blessing failed, trying again", "error", err)
	}
}

// running is the root that runs, in its opened pool.
type running struct {
	Options
	pool.Root
	pool   Pool
	all    pool.Contents
	record *os.Root // the folder griddle of @persistent
}

// with opens the pool for do.
func (o Options) with(do func(running) error) error {
	p, err := o.Open()
	if err != nil {
		return err
	}
	err = o.in(p, do)
	return errors.Join(err, p.Close())
}

func (o Options) in(p Pool, do func(running) error) error {
	all, err := p.Read()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all.Roots, func(r pool.Root) bool { return r.Runs })
	if at < 0 {
		return errors.New("the system that runs is not a root of its pool")
	}
	dir, err := pool.Persistent(p.Dir())
	if err != nil {
		return fmt.Errorf("opening the folder for the history: %w", err)
	}
	defer dir.Close()
	if err := history.Complete(dir, all.MadeOf(), all.Candidate); err != nil {
		o.Log.Warn("what a power cut kept out of the history is not added", "error", err)
	}
	if _, err := attempt.Settle(dir, o.Started); err != nil {
		o.Log.Warn("what became of a start by kexec is not written down", "error", err)
	}
	return do(running{Options: o, Root: all.Roots[at], pool: p, all: all, record: dir})
}

// settle is one attempt of Bless. told is the root whose failure is in the history already.
func (r running) settle(told *string) error {
	if err := r.all.Unread(); err != nil {
		return err
	}
	if err := r.bury(told); err != nil {
		return err
	}
	// A root that GRUB starts without a trial, because grubenv is lost or its good root is gone, is the good one now.
	stays := r.Name == r.all.Good || r.Boots && r.Name != r.all.Candidate
	switch {
	case r.wentBack():
		r.Log.Info("not blessed: during the trial a person had another root start next", "root", r.Name,
			"good", r.all.Good)
		return r.note(history.Event{Kind: history.RolledBack, Root: r.all.Good})
	case r.OnTrial:
		if err := r.pool.Bless(r.Name); err != nil {
			return err
		}
		r.Log.Info("blessed: this is the good root now", "root", r.Name)
	case !stays:
		r.Log.Info("not blessed: this root was started by hand", "root", r.Name, "good", r.all.Good)
		return nil
	case !r.Good || r.Name != r.all.Good:
		if err := r.pool.Bless(r.Name); err != nil {
			return err
		}
	}
	if err := removeTrial(r.record); err != nil {
		return err
	}
	return r.note(history.Event{Kind: history.Blessed, Root: r.Name, Image: r.Image})
}

// wentBack reports whether the root that runs is on trial, and is no candidate any more, because a person had the good
// root start next. If that root, its kernel or grubenv with its name is lost, no one can have that.
func (r running) wentBack() bool {
	good, err := r.all.Root(r.all.Good)
	return r.OnTrial && r.all.Candidate == "" && err == nil && good.Kernel && good.Name != r.Name
}

// note has the history say what became of a root, if that is not the last that it says of it.
func (r running) note(what history.Event) error {
	events, err := history.Read(r.record)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(events) {
		if e.Root == what.Root && e.Kind == what.Kind {
			return nil
		}
		if e.Root == what.Root {
			break
		}
	}
	return history.Append(r.record, what)
}

// bury finds out that a candidate failed, writes that down, and has the boot loader forget it.
func (r running) bury(told *string) error {
	name, err := r.pool.Failed()
	if err != nil || name == "" {
		return err
	}
	if *told != name {
		t, err := readTrial(r.record, name)
		if err != nil {
			r.Log.Warn("the report of the root that failed is lost", "root", name, "error", err)
		}
		e := t.end(name)
		if failed, err := r.all.Root(name); err == nil {
			e.Image = failed.Image
		}
		r.Log.Error("a root failed, the one before runs again", "root", name, "reason", e.Reason)
		if err := r.note(e); err != nil {
			return err
		}
		*told = name
	}
	if err := removeTrial(r.record); err != nil {
		return err
	}
	return r.pool.Forget(name)
}
