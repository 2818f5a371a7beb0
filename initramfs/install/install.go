// Package install puts an image onto a disk: job.Spec in, a machine that boots out.
//
// Check comes first: it is pure, and refuses what must not be begun. Run does it all:
//
//	check      disk rule, erase rule, sizes, a kernel in the image      nothing is touched
//	           the server acknowledges which disk it is going to be     Reporter.Started
//	partition  table with the unfinished mark, FAT32, btrfs
//	receive    each stream into @images, deltas upon their parents
//	verify     the received tree against the image's content manifest
//	bootable   a writable root, its identity, GRUB for BIOS and UEFI
//	finish     everything unmounted, then the mark is taken off         the last durable step
//	           the hardware clock is set
//
// The pool afterwards, a btrfs filesystem of its own UUID. All of it is new: an earlier install's /home and
// /persistent are lost.
//
//	@images/NAME   the image as received: read-only, its received UUID is the image's; parent of the next update
//	@roots/NAME    the system: a writable snapshot, mounted by rootflags=subvol=@roots/NAME
//	@home          on /home; begins with what the image has there
//	@persistent    on /persistent; empty but for griddle/seen, how far the catalog of images had come
//
// Whatever stops Run before its last step, an error or the power, leaves a disk that bears the unfinished mark of
// this job, which Check takes as leave to begin again; every other disk of the machine is only ever read.
//
// The image is signed, its publisher is still not trusted with this machine's other files: all that is written into
// the new root goes through os.Root, so that a symlink in it leads nowhere else.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/head"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
)

// Image is where the bytes come from. What it gives is verified; fetch.Opened is one.
type Image interface {
	Ref() string // "web:20261120.1@amd64"
	Size() int64 // bytes of the files' contents
	Streams() []fetch.StreamInfo
	OpenStream(ctx context.Context, i int, parent string) (io.ReadCloser, error)
	Content(ctx context.Context) (*content.Manifest, error)
}

// Reporter is told what happens. It numbers and dates the events itself.
type Reporter interface {
	// Event must not block for long: it is called between two steps of the work.
	Event(job.Event)
	// Started returns nil when the server has durably recorded that this job was begun on disk, a serial or a
	// path; until then nothing is written to it.
	Started(ctx context.Context, disk string) error
}

// Options says what Run needs besides the job.
type Options struct {
	Machine job.Identity // for the hostname, where the job gives none
	Agent   string       // path of the static agent, copied to the system to phone home with; "" leaves that out
	CA      []byte       // PEM of the certificate authority that phoning home trusts
	// the firmware that runs now is a BIOS: the disk gets the active flag that some of them want
	BIOS bool
	// the sizes of the drives that the BIOS offers, in sectors of 512 bytes; nil where that is not known
	Drives   []int64
	GRUB     string           // folder of the images that bootloader.BuildGRUB made; "" means bootloader.Images
	Mount    string           // folder to mount below; "" means "/mnt"
	Sys      string           // "" means "/sys"
	Wire     func() int64     // encoded bytes that have come over the network so far; nil where nobody counts
	Ways     func() *job.Ways // which ways they came; nil where nobody knows
	MountESP MountFunc        // nil mounts it as vfat by the kernel

	// Spool is told of a folder on the new filesystem where files without a name may be kept while the streams come,
	// before the first of them is opened, and of "" when none is left. nil where nobody needs one.
	Spool func(dir string)

	// Seen is how far the catalog of the site had come; it is left on /persistent, in SeenDir, for whoever updates this
	// system later. The zero value leaves nothing.
	Seen head.Seen

	// SetClock sets the hardware clock to a time, in UTC. It is called once, when the install is ended on the disk; nil
	// leaves the clock alone. So does another system that keeps local time there (see keepsLocalTime).
	SetClock func(time.Time) error

	// Serial asks the disk at a path for its serial once more, when it has been claimed; nil asks as disk.Scan does.
	Serial func(path string) (string, error)
}

// MountFunc mounts the device node at dir and returns what takes it off again, durably.
type MountFunc func(node, dir string) (unmount func() error, err error)

func (o Options) defaults() Options {
	if o.GRUB == "" {
		o.GRUB = bootloader.Images
	}
	if o.Mount == "" {
		o.Mount = "/mnt"
	}
	if o.Sys == "" {
		o.Sys = "/sys"
	}
	if o.Wire == nil {
		o.Wire = func() int64 { return 0 }
	}
	if o.Spool == nil {
		o.Spool = func(string) {}
	}
	if o.Ways == nil {
		o.Ways = func() *job.Ways { return nil }
	}
	if o.MountESP == nil {
		o.MountESP = mountVFAT
	}
	if o.Serial == nil {
		o.Serial = func(path string) (string, error) {
			d, err := disk.Find(os.DirFS(o.Sys), disk.Open, path)
			return d.Serial, err
		}
	}
	return o
}

// ErrRefused is wrapped by every error of Check: nothing was touched.
var ErrRefused = errors.New("refused")

// Run carries out spec with img on the disk that the rule picks among disks. Every step, and the error that it
// returns, has gone to r as an event; the last event has state done or failed.
//
// Where the disk shows that this very job was ended on it, as after a power cut before the server heard of it,
// Run only says so.
func Run(ctx context.Context, spec job.Spec, img Image, disks []job.Disk, r Reporter, o Options) error {
	w := &work{spec: spec, img: img, disks: disks, report: r, o: o.defaults(), phase: job.PhaseCheck}
	err := w.run(ctx, disks)
	if cleanup := w.release(); err == nil {
		err = cleanup
	}
	if err == nil && !w.already {
		err = w.finish()
		if err == nil {
			w.clock(disks)
		}
	}
	if err != nil {
		// What stopped the work, and not which step it hit.
		cause := context.Cause(ctx)
		if cause != nil && cause != ctx.Err() {
			err = cause
		}
		message := err.Error()
		switch {
		case cause == nil || cause == ctx.Err():
			if a := advice(w.phase, err); a != "" {
				message += "; " + a
			}
		case w.written:
			message += fmt.Sprintf("; what %s held is lost and there is no system on it: give the machine another job",
				w.target.Path)
		default:
			message += "; nothing was touched"
		}
		r.Event(job.Event{Job: spec.ID, Phase: w.phase, Level: job.Error, State: job.Failed,
			Message: job.Sentence(message)})
		return err
	}
	r.Event(job.Event{Job: spec.ID, Phase: job.PhaseFinish, Level: job.Info, State: job.Done,
		Message: job.Sentence(fmt.Sprintf("%s is installed on %s as %s", img.Ref(), w.target.Path, w.hostname()))})
	return nil
}

// work is one run.
type work struct {
	spec    job.Spec
	img     Image
	report  Reporter
	o       Options
	phase   job.Phase
	disks   []job.Disk
	target  job.Disk
	already bool // this job was ended on the disk before
	written bool // something may have changed on the disk
	parts   partitions
	undo    []func() error // in reverse order
}

func (w *work) run(ctx context.Context, disks []job.Disk) error {
	w.enter(job.PhaseCheck, "checking %s and the disks", w.img.Ref())
	var err error
	if w.target, err = Check(w.spec, w.img, disks); err != nil {
		return err
	}
	if w.target.Installed == w.spec.ID {
		w.already = true
		w.say("this job was already ended on %s", w.target.Path)
		return nil
	}
	w.foresee()
	manifest, err := w.img.Content(ctx)
	if err != nil {
		return err
	}
	if err := checkContent(w.img.Ref(), manifest); err != nil {
		return err
	}
	if err := w.partition(ctx); err != nil {
		return err
	}
	image, err := w.receive(ctx)
	if err != nil {
		return err
	}
	if err := w.verify(ctx, image, manifest); err != nil {
		return err
	}
	return w.bootable(ctx, image)
}

// foresee warns, before anything is touched, of a disk that the BIOS will not start.
func (w *work) foresee() {
	if !w.o.BIOS || len(w.o.Drives) == 0 || w.target.SectorSize != 512 ||
		slices.Contains(w.o.Drives, w.target.Size/512) {
		return
	}
	w.warn("the BIOS of this machine offers no drive as large as %s, so it may not start from it: "+
		"switch that disk on in the BIOS setup "+
		"(SATA mode, RAID, NVMe boot)", w.target.Path)
}

func (w *work) enter(p job.Phase, format string, args ...any) {
	w.phase = p
	w.say(format, args...)
}

func (w *work) say(format string, args ...any) {
	w.report.Event(job.Event{Job: w.spec.ID, Phase: w.phase, Level: job.Info,
		Message: job.Sentence(fmt.Sprintf(format, args...))})
}

func (w *work) warn(format string, args ...any) {
	w.report.Event(job.Event{Job: w.spec.ID, Phase: w.phase, Level: job.Warning,
		Message: job.Sentence(fmt.Sprintf(format, args...))})
}

// release undoes what mounting did, the last first.
func (w *work) release() error {
	var errs error
	for i := len(w.undo) - 1; i >= 0; i-- {
		errs = errors.Join(errs, w.undo[i]())
	}
	w.undo = nil
	return errs
}
