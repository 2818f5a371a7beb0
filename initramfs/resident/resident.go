// Package resident is the service on an installed machine: it keeps the machine in touch with its server.
//
// Call Run. Every few minutes it checks in with the machine's key (package machinekey), and gets the signed head of the
// site's catalog and the site's notice. It keeps both, and takes a newer agent that the notice names (package program).
// Run returns ErrReplaced then, and the new program has to be started. Check checks in once, which is how a candidate
// is tried.
//
// An update or an action that the server orders it leaves as a file for UpdateUnit (package order), because its own
// sandbox cannot update or restart the system, and reports what becomes of it. Install writes the units into a tree. A
// system that was installed before there were updates has no such unit: its service gets no orders.
//
// The service calls out and never listens. It believes what the site's key signed, and nothing else: TLS says that the
// server is the site's, and a server that someone took over can keep a machine waiting, but cannot give it another
// key, CA or program. What it says of itself goes to the record of its own machine alone.
//
// Files in the folder griddle of the subvolume @persistent:
//
//	agent.json       Config, which the install leaves; it never changes
//	machine.key      or machine.key.tpm: the machine's key
//	notice           the newest notice of the site, signed; checked again each time it is read
//	seen/KEYID       the newest head of the site's catalog
//	order.json       and others, see package order
//	history.jsonl    what happened to the roots of the pool (package history)
//	reached          an empty file, changed when the server was reached last
package resident

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"griddle/appliance/job"
	jump "griddle/initramfs/kexec/attempt"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/resident/program"
)

// Dir is the service's folder on the installed system, and Programs the one that the agent is in.
const (
	Dir      = "/persistent/griddle"
	Programs = "/usr/lib/griddle"
)

// ConfigFile is the name of Config's file in the folder, and Config what an install leaves for the service.
const ConfigFile = contact.ConfigFile

// Config is contact.Config.
type Config = contact.Config

// ErrReplaced is returned by Run after it has replaced its own program.
var ErrReplaced = errors.New("the agent was replaced by a newer one")

// Options are what Run needs. Only Now, Wait, Start and Log may be left out.
type Options struct {
	Dir     string // see Dir
	Agent   program.Program
	Version string // of this program, for people
	Built   int64  // when it was built, seconds since 1970
	Root    string // the subvolume of /
	Log     *slog.Logger

	Run     string      // see order.Run
	Updates func() bool // whether this system has the units that carry out an update; nil means no, and no report
	Runs    func() bool // whether this system runs programs of the server; nil means no

	Started jump.Start // how this system was started

	Now   func() time.Time                             // nil means time.Now
	Wait  func(ctx context.Context, d time.Duration)   // nil sleeps
	Start func(ctx context.Context, path string) error // tries a candidate; nil runs it with "service --check"
	Load  func(dir *os.Root) (tls.Certificate, error)  // nil means machinekey.Load
}

// service is one run.
type service struct {
	Options
	at      *contact.Contact
	renewed attempt
	orders  order.Files
	told    string // order.Files.Changed at the last check-in
	trouble string // for the next check-in
	good    bool   // this program has checked in
}

func open(o Options) (*service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	if o.Start == nil {
		o.Start = start
	}
	c, bad, err := contact.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	if bad != nil {
		o.Log.Warn("the notice that was kept is not valid", "error", bad)
	}
	c.Now = o.Now
	if o.Load != nil {
		c.Load = o.Load
	}
	return &service{Options: o, at: c, orders: order.Open(o.Dir, o.Run)}, nil
}

// Run checks in until ctx ends, which is not an error, or the program was replaced (ErrReplaced).
func Run(ctx context.Context, o Options) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.at.Close()
	s.settle()
	var failed time.Duration
	for ctx.Err() == nil {
		next, err := s.round(ctx)
		if errors.Is(err, ErrReplaced) {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		pause := between(next, rand.Float64())
		if err != nil {
			failed = after(failed)
			pause = between(failed, rand.Float64())
			s.Log.Error("checking in failed", "error", err, "again", pause.Round(time.Second))
		} else {
			failed = 0
		}
		s.rest(ctx, pause, err == nil)
	}
	return s.Agent.Stopped()
}

// Check checks in once, within a minute, and changes nothing on the disk.
func Check(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.at.Close()
	for {
		out, _, err := s.checkIn(ctx, order.Situation{Boot: order.Boot()})
		var p *job.Problem
		if errors.As(err, &p) && p.Status == 429 { // the service itself has just checked in
			s.Wait(ctx, 6*time.Second)
			if ctx.Err() == nil {
				continue
			}
		}
		if err == nil && len(out.Notice) > 0 {
			err = s.at.CheckNotice(out.Notice)
		}
		return err
	}
}

// The pauses between check-ins. A server may ask for another one within these bounds.
const (
	shortest = 10 * time.Second
	longest  = time.Hour
	firstTry = 10 * time.Second // after a failure, and twice that after the next one
	lastTry  = 15 * time.Minute
)

// after is the pause after one more failure.
func after(failed time.Duration) time.Duration {
	return min(max(2*failed, firstTry), lastTry)
}

// between adds chance, from 0 to 1, to a pause: a quarter less to a quarter more, so that machines that were switched
// on together do not call together.
func between(d time.Duration, chance float64) time.Duration {
	return time.Duration(float64(d) * (0.75 + chance/2))
}

// round is one check-in and what follows from it. next is the pause that the server asks for.
func (s *service) round(ctx context.Context) (next time.Duration, err error) {
	s.told = s.orders.Changed()
	now, odd := s.situation()
	out, base, err := s.checkIn(ctx, now)
	if err != nil {
		return 0, err
	}
	next = min(max(time.Duration(out.Next)*time.Second, shortest), longest)
	if !s.good {
		s.good = true
		s.Log.Info("checked in", "server", base, "machine", job.Printable(out.Machine), "agent", s.Version)
	}
	if off := out.Time.Sub(s.Now()); off.Abs() > 5*time.Minute {
		s.Log.Warn("the clock of this machine differs from the server's; set it, and look at its time service",
			"off", off.Round(time.Second))
	}
	err = errors.Join(s.Agent.Good(), noteReached(s.Dir, s.Now()), s.accept(ctx, out), odd, s.obey(now, out))
	if err == nil {
		err = s.renew(ctx)
	}
	if errors.Is(err, ErrReplaced) {
		return next, err
	}
	s.trouble = ""
	if err != nil {
		// The server is reached: this is for its operators, and no reason to call more often.
		s.trouble = job.Sentence(err.Error())
		s.Log.Error("what the server sent was not taken", "error", err)
	}
	return next, nil
}

// checkIn calls the server, and returns the address that answered.
func (s *service) checkIn(ctx context.Context, now order.Situation) (out job.CheckedIn, base string, err error) {
	in := job.CheckIn{Agent: s.Version, Root: s.Root, Sealed: machinekey.Sealed(s.at.Folder), Notice: s.at.Notice.Seq,
		Trouble: s.trouble, Boot: now.Boot, Roots: s.orders.Roots(), Job: now.Job(), Action: now.Action(),
		Fell: now.Fell()}
	switch {
	case s.updates():
		in.Features = []string{job.FeatureUpdate, job.FeatureKernel, job.FeatureReset}
		s.kexec(&in)
		in.Features = append(in.Features, s.actions()...)
	case s.Updates != nil && in.Trouble == "":
		in.Trouble = noUnits
	}
	if in.Trouble == "" {
		in.Trouble = damage(now.History, s.Now())
	}
	base, err = s.at.Do(ctx, func(ctx context.Context, c *job.Client) (err error) {
		out, err = c.CheckIn(ctx, in)
		return err
	})
	return out, base, err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// start runs a candidate, which has to check in once.
func start(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "service", "--check").CombinedOutput()
	if err != nil {
		return fmt.Errorf("it does not work here: %w: %s", err, job.Sentence(string(out)))
	}
	return nil
}
