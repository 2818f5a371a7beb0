// Package resident is the service on an installed machine: it keeps the machine in touch with its server.
//
// Call Run. Every few minutes it checks in with the machine's key (package machinekey), and gets the signed head of the
// site's catalog and the site's notice. It keeps both, and takes a newer agent that the notice names (package program).
// Run returns ErrReplaced then, and the new program has to be started. Check checks in once, which is how a candidate
// is tried.
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
//
// The clock may be years off. Certificates are checked by it, but never by a time before the install or the newest
// notice. Where the clock is so far ahead that a certificate seems to have expired, the later of those two counts:
// a machine that comes from the future must still find its server.
package resident

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/appliance/site/notice"
	"griddle/imagestore/minisign"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/resident/program"
)

// Dir is the service's folder on the installed system, and Programs the one that the agent is in.
const (
	Dir      = "/persistent/griddle"
	Programs = "/usr/lib/griddle"
)

// ConfigFile is the name of Config's file in the folder.
const ConfigFile = "agent.json"

// Config is what an install leaves for the service.
type Config struct {
	Machine   string    `json:"machine"` // the server's name for the machine when it was installed; only shown
	Site      site.Site `json:"site"`    // as the boot image had it; Catalog.Key is the one that signs notices
	Installed time.Time `json:"installed"`
}

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

	Now   func() time.Time                             // nil means time.Now
	Wait  func(ctx context.Context, d time.Duration)   // nil sleeps
	Start func(ctx context.Context, path string) error // tries a candidate; nil runs it with "service --check"
	Load  func(dir *os.Root) (tls.Certificate, error)  // nil means machinekey.Load
}

// service is one run.
type service struct {
	Options
	config  Config
	site    minisign.PublicKey
	dir     *os.Root
	notice  notice.Notice // the newest; the zero value for none
	renewed attempt
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
	if o.Load == nil {
		o.Load = machinekey.Load
	}
	s := &service{Options: o}
	b, err := os.ReadFile(filepath.Join(o.Dir, ConfigFile))
	if err == nil {
		err = json.Unmarshal(b, &s.config)
	}
	if err == nil {
		s.site, err = minisign.ParsePublicKey(s.config.Site.Catalog.Key)
	}
	if err == nil {
		s.dir, err = os.OpenRoot(o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what the install left in %s: %w", o.Dir, err)
	}
	s.loadNotice()
	return s, nil
}

// Run checks in until ctx ends, which is not an error, or the program was replaced (ErrReplaced).
func Run(ctx context.Context, o Options) error {
	s, err := open(o)
	if err != nil {
		return err
	}
	defer s.dir.Close()
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
		s.Wait(ctx, pause)
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
	defer s.dir.Close()
	for {
		out, _, err := s.checkIn(ctx)
		var p *job.Problem
		if errors.As(err, &p) && p.Status == 429 { // the service itself has just checked in
			s.Wait(ctx, 6*time.Second)
			if ctx.Err() == nil {
				continue
			}
		}
		if err == nil && len(out.Notice) > 0 {
			_, err = notice.Open(out.Notice, s.site)
		}
		return err
	}
}

// The pauses between check-ins. A server may ask for another one within these bounds.
const (
	shortest = time.Minute
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
	out, base, err := s.checkIn(ctx)
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
	err = errors.Join(s.Agent.Good(), s.acceptHead(ctx, out.Head), s.acceptNotice(out.Notice))
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

// checkIn calls the server where the newest notice says that it is, and then where it was at the install.
func (s *service) checkIn(ctx context.Context) (out job.CheckedIn, base string, err error) {
	key, err := s.Load(s.dir)
	if err != nil {
		return out, "", err
	}
	ca, bases := s.config.Site.CA, []string{s.config.Site.HTTPS}
	if s.notice.Seq > 0 {
		ca = s.notice.At.CA
		if now := s.notice.At.HTTPS; now != bases[0] {
			bases = []string{now, bases[0]}
		}
	}
	conf, err := job.PinnedTLS([]byte(ca))
	if err != nil {
		return out, "", err
	}
	conf.Certificates = []tls.Certificate{key}
	in := job.CheckIn{Agent: s.Version, Root: s.Root, Sealed: machinekey.Sealed(s.dir), Notice: s.notice.Seq,
		Trouble: s.trouble}
	var errs []error
	for _, base := range bases {
		out, err := s.call(ctx, base, conf, in)
		if err == nil {
			return out, base, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", base, err))
	}
	return out, "", errors.Join(errs...)
}

// call checks in at base. See the package comment about clocks.
func (s *service) call(ctx context.Context, base string, conf *tls.Config, in job.CheckIn) (job.CheckedIn, error) {
	earliest := s.earliest()
	conf = conf.Clone()
	conf.Time = func() time.Time {
		if now := s.Now(); now.After(earliest) {
			return now
		}
		return earliest
	}
	out, err := job.NewClient(base, conf).CheckIn(ctx, in)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && !earliest.IsZero() {
		conf.Time = func() time.Time { return earliest }
		out, err = job.NewClient(base, conf).CheckIn(ctx, in)
	}
	return out, err
}

// earliest is a time that has passed for certain.
func (s *service) earliest() time.Time {
	if s.notice.Time.After(s.config.Installed) {
		return s.notice.Time
	}
	return s.config.Installed
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
