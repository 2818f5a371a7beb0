// Package erase carries out a job of the kind job.Erase: it makes the data of one disk unrecoverable, reads back that
// they are, and says in a job.Certificate what was done.
//
// Call Run. It asks the disk which commands of its own it has (packages nvme and ata), and takes the first of these
// that works: a sanitize, a format or an erase by the drive, else it overwrites the disk with zeros. Words are those of
// NIST SP 800-88: such a command mostly purges, an overwrite clears.
//
// An overwrite keeps a mark in the first sector of the disk, which is overwritten last. With it the same job continues
// after a power cut where it was:
//
//	0                  16    52  56     64     72            508     512
//	+------------------+-----+---+------+------+-------------+-------+
//	| GRIDDLE ERASE 1  | job | 0 | size | done | zeros       | CRC32 |   numbers little endian
//	| and a zero       |     |   | u64  | u64  |             | u32   |
//	+------------------+-----+---+------+------+-------------+-------+
//
// Everything from byte 4096 to done is zero on the disk: data are flushed before the mark that counts them. Then all of
// the disk is read back, and only then the mark is overwritten too. After a command of the disk, places across it are
// read and compared with what they had before.
//
// Run writes to the one disk that the job names by its serial or WWN, and to no other. Nothing on it may be in use. It
// writes nothing before the server has recorded which disk it is.
//
// Sources: NIST SP 800-88 revision 1, sections 2.4, 2.5, 4.7 and appendix A; the kernel's block/ioctl.c and
// block/fops.c.
package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/progress"
)

// ErrRefused is wrapped where Run refused the job before anything was written.
var ErrRefused = errors.New("erase refused")

// Reporter receives the events of Run. It adds their numbers and times itself.
type Reporter interface {
	// Event must not block for long.
	Event(job.Event)
	// Deliver is Event, and returns nil when the server has durably recorded it.
	Deliver(context.Context, job.Event) error
}

// Options is what Run needs, all of it.
type Options struct {
	Spec   job.Spec
	Disks  []job.Disk // of this machine, as they are now
	Report Reporter
	Agent  string // version, for the certificate
	// Open claims the disk at a path; Open of this package, except in tests.
	Open func(path string) (Device, error)
	// Serial reads the serial of the disk at a path again, after it was claimed.
	Serial func(path string) (string, error)
}

// work is one run.
type work struct {
	Options
	disk job.Disk
	dev  Device
	size int64
	cert job.Certificate
	mark mark
	at   atomic.Int64 // bytes of the phase so far
}

// Run erases the disk that the job names, and reports how that ended. When it returns nil, the certificate says Erased,
// and what it says is durable on the disk.
func Run(ctx context.Context, o Options) (job.Certificate, error) {
	w := &work{Options: o}
	err := w.run(ctx)
	if w.dev != nil {
		err = errors.Join(err, w.dev.Close())
	}
	event := job.Event{Job: o.Spec.ID, Level: job.Info, State: job.Done, Phase: job.PhaseVerify}
	w.cert.Ended = time.Now().UTC()
	if err != nil {
		event.Level, event.State, event.Phase = job.Error, job.Failed, job.PhaseErase
		event.Message = job.Sentence(err.Error())
		if w.cert.Result == "" {
			event.Phase = job.PhaseCheck
			event.Message = job.Sentence(err.Error() + "; nothing was written to disk")
		}
		if w.cert.Result == job.EraseBegun {
			w.cert.Result = job.EraseFailed
		}
		w.cert.Reason = job.Sentence(err.Error())
	}
	if w.cert.Result != "" {
		c := w.cert.Bounded()
		if event.Certificate = &c; err == nil {
			event.Message = job.Sentence(c.String())
		}
	}
	o.Report.Event(event)
	return w.cert, err
}

func (w *work) run(ctx context.Context) error {
	w.say(job.PhaseCheck, "looking for disk %s", job.Sentence(w.Spec.Erase))
	if err := w.claim(); err != nil {
		return err
	}
	can := look(w.dev, w.disk)
	chosen := choose(w.Spec.Level, can.ways)
	w.cert.Notes = append(w.cert.Notes, can.notes...)
	if len(chosen) == 0 {
		why := ""
		for _, n := range can.notes {
			why += "; " + n
		}
		return fmt.Errorf("%w: disk %s has no command that purges it%s; --level clear overwrites it", ErrRefused,
			w.disk,
			why)
	}
	again, err := w.resume(ctx, &chosen)
	if err != nil {
		return err
	}
	w.cert = job.Certificate{Version: 1, Job: w.Spec.ID, Agent: w.Agent, Disk: w.disk, Held: w.disk.Loss(),
		Result: job.EraseBegun, Method: chosen[0].method, Level: chosen[0].level, Began: time.Now().UTC(),
		Resumed: w.Spec.Started != "", Notes: w.cert.Notes}
	if w.disk.Blank() {
		w.cert.Held = "nothing: it was blank"
	}
	name := w.Spec.Started
	if name == "" {
		_, name = w.disk.NameAmong(w.Disks)
	}
	begun := w.cert.Bounded()
	if err := w.Report.Deliver(ctx, job.Event{Job: w.Spec.ID, Phase: job.PhaseErase, Level: job.Info,
		State: job.Started,
		Disk:  name, Message: job.Sentence(fmt.Sprintf("the disk is %s; it has: %s", w.disk, w.cert.Held)),
		Certificate: &begun}); err != nil {
		w.cert.Result = ""
		return fmt.Errorf("reporting the disk before writing to it: %w", err)
	}
	if again {
		return w.concludeOverwrite(ctx, 0, can.hidden)
	}
	var failed error
	for i, way := range chosen {
		if failed != nil {
			w.cert.Notes = append(w.cert.Notes, failed.Error())
			w.warn("%v; trying %s", failed, way.name)
		}
		w.cert.Method, w.cert.Level, w.cert.Verified = way.method, way.level, job.Verification{}
		if way.method == methodOverwrite {
			return w.overwrite(ctx, can.hidden)
		}
		err := w.command(ctx, way)
		if err == nil {
			w.cert.Result = job.Erased
			return w.forget()
		}
		failed = fmt.Errorf("%s: %w", way.name, err)
		if ctx.Err() != nil || i == len(chosen)-1 {
			return failed
		}
	}
	return failed
}

// claim finds the disk, and opens it. It must be as it was when it was listed: a name goes to another disk when its own
// is unplugged.
func (w *work) claim() error {
	s := w.Spec
	switch {
	case s.Kind != job.Erase:
		return fmt.Errorf("%w: unknown kind of job %q", ErrRefused, job.Printable(string(s.Kind)))
	case s.ID == "" || job.NormalUUID(s.ID) != s.ID:
		return fmt.Errorf("%w: job ID %q is not a UUID", ErrRefused, job.Printable(s.ID))
	}
	if _, err := job.ParseEraseLevel(string(s.Level)); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	d, err := job.PickErase(s.Erase, w.Disks)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if s.Started != "" && !d.Named(s.Started) {
		return fmt.Errorf("%w: this job was started on disk %s, and %q is now %s", ErrRefused, job.Sentence(s.Started),
			job.Sentence(s.Erase), d)
	}
	w.disk = d
	if w.dev, err = w.Open(d.Path); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	size, sector, err := w.dev.Geometry()
	if err != nil {
		return err
	}
	if size != d.Size || d.SectorSize != sector || size%int64(sector) != 0 || head%sector != 0 || size < head {
		return fmt.Errorf("%w: %s is now another disk, or of a kind that is not known: it has %d bytes in sectors "+
			"of %d",
			ErrRefused, d, size, sector)
	}
	switch serial, err := w.Serial(d.Path); {
	case err != nil:
		return err
	case serial != d.Serial:
		return fmt.Errorf("%w: %s is now another disk: its serial is %q", ErrRefused, d, job.Printable(serial))
	}
	w.size = size
	return nil
}

// resume looks how far an earlier boot came. It returns true if the disk is overwritten, and only the end is missing.
// With a mark only the overwrite is left of chosen.
func (w *work) resume(ctx context.Context, chosen *[]way) (done bool, err error) {
	w.mark = mark{job: w.Spec.ID, size: w.size, done: head}
	if w.Spec.Started == "" {
		return false, nil
	}
	overwrites := slices.ContainsFunc(*chosen, func(c way) bool { return c.method == methodOverwrite })
	if m, ok := findMark(w.dev, w.Spec.ID, w.size); ok && overwrites {
		w.mark = m
		*chosen = slices.DeleteFunc(*chosen, func(c way) bool { return c.method != methodOverwrite })
		w.say(job.PhaseCheck, "the disk has the mark of this job: %s of %s are overwritten", job.Bytes(m.done),
			job.Bytes(w.size))
		return false, nil
	}
	// The mark goes last. So a disk of zeros is one that this job overwrote, or one that has nothing to lose.
	certain := w.Spec.Started == w.disk.Serial || w.Spec.Started == w.disk.WWN
	if (*chosen)[0].method == methodOverwrite || !certain {
		w.say(job.PhaseCheck, "an earlier boot began to erase %s; reading how far it is", w.disk)
		r, err := w.read(ctx, 0, job.PhaseCheck)
		if err != nil {
			return false, err
		}
		if r.data < 0 && r.unreadable == 0 && overwrites {
			w.cert.Notes = append(w.cert.Notes, "an earlier boot had overwritten it")
			return true, nil
		}
	}
	if !certain {
		return false, fmt.Errorf("%w: this job was started on a disk with the name %s, and it is not certain that "+
			"this "+
			"is %s, which has: %s; give the machine a new job", ErrRefused, job.Sentence(w.Spec.Started), w.disk,
			w.disk.Loss())
	}
	return false, nil
}

// command erases the disk by a command of its own, and reads places across it before and after.
func (w *work) command(ctx context.Context, way way) error {
	w.say(job.PhaseErase, "reading places across the disk, to compare them afterwards")
	before := takeSamples(ctx, w.dev, w.size)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if way.blind {
		w.say(job.PhaseErase, "%s; it cannot be stopped, and does not say how far it is", way.name)
	} else {
		w.say(job.PhaseErase, "%s", way.name)
	}
	w.at.Store(0)
	stop := func() {}
	if !way.blind {
		stop = w.follow(job.PhaseErase)
	}
	err := way.run(ctx, func(done float64) { w.at.Store(int64(done * float64(w.size))) })
	stop()
	if err != nil {
		return err
	}
	w.say(job.PhaseVerify, "comparing places across the disk with what they had before")
	w.cert.Verified, err = compare(ctx, w.dev, before)
	if err != nil {
		return err
	}
	v := w.cert.Verified
	switch {
	case v.Same > 0:
		return fmt.Errorf("the disk says that it erased itself, but %d of %d places still have their data",
			v.Same/block, v.Data/block)
	case v.Bytes == 0:
		return errors.New("the disk says that it erased itself, but nothing of it can be read")
	case way.zeros:
		return w.allZeros(ctx, 0)
	}
	return nil
}

// allZeros reads the disk from from on, which must be zeros.
func (w *work) allZeros(ctx context.Context, from int64) error {
	w.say(job.PhaseVerify, "reading all of the disk")
	r, err := w.read(ctx, from, job.PhaseVerify)
	w.cert.Verified = job.Verification{Way: job.EraseReadAll, Bytes: r.bytes, Unreadable: r.unreadable,
		Zeros: err == nil && r.data < 0}
	if err == nil && r.data >= 0 {
		err = fmt.Errorf("byte %d of the disk is not zero after the erase", r.data)
	}
	return err
}

func (w *work) read(ctx context.Context, from int64, phase job.Phase) (reading, error) {
	w.at.Store(from)
	defer w.follow(phase)()
	return readBack(ctx, w.dev, from, w.size, &w.at)
}

// overwrite overwrites the disk with zeros, from the mark on.
func (w *work) overwrite(ctx context.Context, hidden int64) error {
	w.say(job.PhaseErase, "overwriting %s with zeros", w.disk)
	o := overwriting{d: w.dev, m: w.mark, at: &w.at, each: chunk, now: time.Now}
	w.at.Store(o.m.done)
	stop := w.follow(job.PhaseErase)
	err := o.run(ctx)
	stop()
	w.cert.Unwritten = o.lost
	if err != nil {
		return err
	}
	if err := w.allZeros(ctx, head); err != nil && o.lost > 0 {
		w.cert.Result = job.EraseIncomplete
		return fmt.Errorf("%d bytes of the disk could not be overwritten: %w; destroy it if its data matter", o.lost,
			err)
	} else if err != nil {
		return err
	}
	if err := unmark(w.dev); err != nil {
		return err
	}
	return w.concludeOverwrite(ctx, head, hidden)
}

// concludeOverwrite judges a disk that is overwritten, of which the first n bytes are not read back yet, and gives its
// blocks back to a disk that can use them.
func (w *work) concludeOverwrite(ctx context.Context, n, hidden int64) error {
	w.cert.Method, w.cert.Level = methodOverwrite, job.Clear
	v := &w.cert.Verified
	if n > 0 {
		b := aligned(int(n))
		if _, err := w.dev.ReadAt(b, 0); err != nil {
			return fmt.Errorf("reading the first bytes of the disk: %w", err)
		}
		if !uniform(b) || b[0] != 0 {
			return errors.New("the first bytes of the disk are not zero after the erase")
		}
		v.Bytes += n
	} else {
		*v = job.Verification{Way: job.EraseReadAll, Bytes: w.size, Zeros: true}
	}
	switch {
	case w.cert.Unwritten > 0 || v.Unreadable > 0:
		w.cert.Result = job.EraseIncomplete
		return fmt.Errorf("%d bytes of the disk could not be overwritten and %d could not be read back; destroy it if "+
			"its data matter", w.cert.Unwritten, v.Unreadable)
	case hidden > 0:
		w.cert.Result = job.EraseIncomplete
		return fmt.Errorf("the disk hides %s behind its end (host protected area), which an overwrite does not reach; "+
			"make them visible with `hdparm -N`, then erase it again", job.Bytes(hidden))
	}
	w.cert.Result = job.Erased
	if err := w.dev.Discard(); err == nil {
		if after, err := compare(ctx, w.dev, takeSamples(ctx, w.dev, w.size)); err == nil && !after.Zeros {
			w.cert.Result = job.EraseFailed
			return errors.New("the disk was zero, and is not any more after it was discarded")
		}
		w.cert.Notes = append(w.cert.Notes, "its blocks were discarded after they were read back")
	}
	return w.forget()
}

// forget has the kernel forget the partitions that are gone.
func (w *work) forget() error {
	if err := w.dev.Forget(); err != nil {
		w.warn("the kernel still has the partitions of the disk: %v", err)
	}
	return nil
}

// follow reports how much of the disk is done.
func (w *work) follow(phase job.Phase) (stop func()) {
	return progress.Follow(progress.Phase{Job: w.Spec.ID, Phase: phase, Total: w.size, Done: w.at.Load,
		Wire: func() int64 { return 0 }, Event: w.Report.Event})
}

func (w *work) say(phase job.Phase, format string, args ...any) {
	w.Report.Event(job.Event{Job: w.Spec.ID, Phase: phase, Level: job.Info,
		Message: job.Sentence(fmt.Sprintf(format, args...))})
}

func (w *work) warn(format string, args ...any) {
	w.Report.Event(job.Event{Job: w.Spec.ID, Phase: job.PhaseErase, Level: job.Warning,
		Message: job.Sentence(fmt.Sprintf(format, args...))})
}
