// Package install writes an image to a disk and makes it bootable, as a job.Spec says.
//
// Call Check first: it is pure, and refuses a job that must not start. Run calls it too and does everything:
//
//	check      disk rule, erase rule, sizes, a kernel in the image      nothing is written
//	           the settings of the machine                              Options.Settings
//	           the server acknowledges which disk will be written       Reporter.Started
//	partition  table with the unfinished mark, FAT32, btrfs
//	receive    each stream into @images, a delta on its parent
//	verify     the received tree against the image's content manifest
//	bootable   a writable root, its identity and settings, deploy hooks, GRUB for BIOS and UEFI
//	finish     everything is unmounted, then the mark is removed        the last durable step
//	           the hardware clock is set
//
// The result is a pool: a btrfs filesystem with a new UUID. An earlier install's /home and /persistent are lost, unless
// the disk has a pool and the job does not erase it (job.Spec.Keeps). Then package update adds a root to that: what the
// pool has of the image is not received, and /home, /persistent and the earlier system stay. The earlier system boots
// until the new root is durable, and GRUB takes it again if that does not come up.
//
//	@images/NAME   the image as received (package intake)
//	@roots/NAME    the system (package newroot), mounted by rootflags=subvol=@roots/NAME
//	@home          mounted on /home; at first it has what the image has there
//	@swap          mounted on /swap, with the swap file; only if the settings have one
//	@persistent    mounted on /persistent; has only griddle: the key by which the machine proves itself, the
//	               newest head of the catalog, and what the service reads (package resident)
//
// If an error or a power cut stops Run before its last step, the disk has the unfinished mark of this job, and Check
// lets the job start again on it. Run only reads every other disk of the machine.
//
// The image is signed, but its publisher is not trusted with this machine's other files. Everything that Run writes
// into the new root goes through os.Root, so that a symlink in it cannot lead outside.
//
// A job with a layout (job.Spec.Layout) is another way to the same pool: the disks are divided by the plan that a
// person agreed to (package divide), and all that the plan keeps stays. If an error or a power cut stops Run, it
// continues by the journal that the server keeps (Journal). The pool has its mark in its own partition then, and its
// systems mount what else the layout gives them (package mounts).
//
// The hostname of the settings wins over the job's; their kernel arguments follow its.
package install

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/appliance/site"
	"griddle/imagestore/content"
	"griddle/imagestore/head"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/hook"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/intake"
)

// Image is the source of the bytes, which it has verified. fetch.Opened implements it.
type Image interface {
	intake.Image
	Content(ctx context.Context) (*content.Manifest, error)
}

// Reporter receives the events of Run. It adds their numbers and times itself.
type Reporter interface {
	// Event must not block for long: it is called between two steps of the work.
	Event(job.Event)
	// Started returns nil when the server has durably recorded that this job was started on disk, a serial or a
	// path. Run writes nothing to the disk before that.
	Started(ctx context.Context, disk string) error
}

// Options is what Run needs in addition to the job.
type Options struct {
	Machine job.Identity // for the hostname, if the job has none
	Name    string       // the server's name for the machine, for hooks
	Agent   string       // path of the static agent, copied to the system for its report; "" leaves that out
	CA      []byte       // PEM of the certificate authority for the report
	// BIOS says that the machine runs a BIOS now: the disk gets the active flag, which some BIOSes need.
	BIOS bool
	// Drives are the sizes of the BIOS drives, in sectors of 512 bytes; nil if not known.
	Drives   []int64
	GRUB     string           // folder of the images that bootloader.BuildGRUB made; "" means bootloader.Images
	Mount    string           // folder to mount below; "" means "/mnt"
	Sys      string           // "" means "/sys"
	Wire     func() int64     // encoded bytes received over the network so far; nil if no one counts them
	Ways     func() *job.Ways // how they were received; nil if no one knows
	MountESP MountFunc        // nil mounts it as vfat

	// Journal keeps what is done to the disks by the layout of a job, and Look looks at all disks again. A job with a
	// layout needs both.
	Journal Journal
	Look    func(context.Context) ([]job.Disk, error)
	// Tables is a folder for the partition tables that a layout changes, as they were (job.SavedTable); "" for none.
	Tables string

	// Tools gets programs that are not in the boot image, before anything is written (package toolbox). nil gets none.
	Tools func(ctx context.Context, programs ...string) error

	// Firmware opens what the UEFI firmware starts; nil means nvram.Open.
	Firmware func() (*nvram.Vars, error)

	// Plan asks for the way to the image from what a pool has, whose images have these received UUIDs, and opens it.
	// nil takes the streams of the image that Run gets.
	Plan func(ctx context.Context, have []string) (Image, error)
	// Kernel is Plan for the kernel image of the job. It is called if the job has one and the image has no kernel. nil
	// refuses such an image.
	Kernel func(ctx context.Context, have []string) (Image, error)
	// Place finds the pool on a disk; nil means pool.On.
	Place func(path string) (pool.Place, error)

	// Spool is called, before the first stream is opened, with a folder on the new filesystem for temporary files
	// without a name, and with "" after the last stream. It may be nil.
	Spool func(dir string)

	// Seen is the newest head of the site's catalog. Run writes it to SeenDir on /persistent, for later updates of this
	// system. The zero value writes nothing.
	Seen head.Seen

	// Key is what this boot proves itself with. It is kept on /persistent, and becomes the machine's. The zero value
	// keeps nothing.
	Key tls.Certificate

	// Site is the site's part of the boot image. The service on the installed system begins with it.
	Site site.Site

	// Settings asks for the settings of the machine, and waits for them. It is called once, after all other checks and
	// before anything is written to disk. Its error ends the job. nil means that the machine has none.
	Settings func(context.Context) (setting.Settings, error)

	// Recovery asks for the recovery keys of the machine, the newest first, which are durable on the server, and waits
	// for them. It is called at most once, before anything is written to disk, where the layout has partitions that
	// such a key opens, or something encrypted that stays is not opened otherwise. nil means that there are none.
	Recovery func(context.Context) ([]string, error)

	// Person decides about hooks that fail; nil if no one is at the machine.
	Person hook.Person

	// Resolv is the resolv.conf of this machine, for programs that run in the new root; "" means "/etc/resolv.conf".
	Resolv string

	// SetClock sets the hardware clock to a time, in UTC. It is called once, after the install is finished on the disk,
	// but not if another system keeps local time there (see keepsLocalTime). nil leaves the clock alone.
	SetClock func(time.Time) error

	// Serial reads the serial of the disk at a path again, after the disk was claimed; nil asks as disk.Find does.
	Serial func(path string) (string, error)
}

// MountFunc mounts the device node at dir and returns a function that unmounts it durably.
type MountFunc func(node, dir string) (unmount func() error, err error)

func (o Options) defaults() Options {
	if o.GRUB == "" {
		o.GRUB = bootloader.Images
	}
	if o.Mount == "" {
		o.Mount = "/mnt"
	}
	if o.Resolv == "" {
		o.Resolv = "/etc/resolv.conf"
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
	if o.Place == nil {
		o.Place = pool.On
	}
	if o.MountESP == nil {
		o.MountESP = mountVFAT
	}
	if o.Firmware == nil {
		o.Firmware = nvram.Open
	}
	if o.Serial == nil {
		o.Serial = func(path string) (string, error) {
			d, err := disk.Find(os.DirFS(o.Sys), disk.Open, path)
			return d.Serial, err
		}
	}
	return o
}

// ErrRefused is wrapped by every error of Check: nothing was written to disk.
var ErrRefused = errors.New("refused")

// Run installs img on the disk that the rule of spec picks among disks. It reports every step, and the error that it
// returns, to r as an event; the last event has the state done or failed.
//
// If the disk shows that this job is already finished on it (a power cut came before the report), Run only reports
// that.
func Run(ctx context.Context, spec job.Spec, img Image, disks []job.Disk, r Reporter, o Options) error {
	w := &work{spec: spec, img: img, disks: disks, report: r, o: o.defaults(), phase: job.PhaseCheck}
	err := w.run(ctx)
	if cleanup := w.release(); err == nil {
		err = cleanup
	}
	if err == nil && !w.already {
		if w.kept {
			err = w.adopt()
		} else {
			err = w.finish()
		}
		if err == nil {
			w.clock()
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
		case w.kept && (cause == nil || cause == ctx.Err()):
			message += "; what was on the disk is still there: start the job again"
		case cause == nil || cause == ctx.Err():
			if a := advice(w.phase, err); a != "" {
				message += "; " + a
			}
		case w.kept:
			message += fmt.Sprintf("; the system and the data on %s are as they were", w.target.Path)
		case w.written && w.divided != nil:
			message += "; what the plan keeps is as it was: start the job again, and it continues"
		case w.written:
			message += fmt.Sprintf("; the data on %s is lost and it has no system: give the machine another job",
				w.target.Path)
		default:
			message += "; nothing was written to disk"
		}
		r.Event(job.Event{Job: spec.ID, Phase: w.phase, Level: job.Error, State: job.Failed,
			Message: job.Sentence(message)})
		return err
	}
	r.Event(job.Event{Job: spec.ID, Phase: job.PhaseFinish, Level: job.Info, State: job.Done, Starts: w.starts(),
		Message: job.Sentence(fmt.Sprintf("%s is installed on %s as %s", img.Ref(), w.target.Path, w.hostname()))})
	return nil
}

// starts is what starts the system after a network boot, nil if that cannot be found.
func (w *work) starts() *job.Starts {
	p, err := pool.On(w.target.Path)
	if err != nil {
		return nil // the server takes it for a disk that Griddle has for itself
	}
	s := job.StartsOf(w.spec.ID)
	if s.TableID = p.TableID; p.ESPID != "" {
		s.ESP = ""
	}
	for _, o := range p.Others {
		s.Other = o.TableID
	}
	return &s
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
	kept    bool // the disk has a pool that stays, and something may have changed in it
	place   pool.Place
	divided *divided // of a job with a layout; else nil
	parts   partitions
	undo    []func() error // in reverse order

	kernel   Image            // of the job; nil if the image has one
	settings setting.Settings // what Options.Settings returned
	asked    bool             // it did
	recovery [][]byte         // what Options.Recovery returned; nil before
}

func (w *work) run(ctx context.Context) error {
	w.enter(job.PhaseCheck, "checking %s and the disks", w.img.Ref())
	if len(w.spec.Layout) > 0 {
		return w.layout(ctx)
	}
	w.sampleAgain(ctx)
	var err error
	if w.target, err = Check(w.spec, w.img, w.disks); err != nil {
		return err
	}
	if w.target.Installed == w.spec.ID {
		w.already = true
		w.say("this job is already finished on %s", w.target.Path)
		return nil
	}
	w.warnOfBIOS()
	w.warnOfHealth()
	if w.spec.Keeps(w.target) {
		return w.keep(ctx)
	}
	manifest, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	if err := w.partition(ctx); err != nil {
		return err
	}
	return w.system(ctx, manifest)
}

// prepare checks and asks for everything that an image needs, while nothing is written.
func (w *work) prepare(ctx context.Context) (*content.Manifest, error) {
	manifest, err := w.img.Content(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.needsSystemd(manifest); err != nil {
		return nil, err
	}
	if err := w.needsKernel(ctx, manifest); err != nil {
		return nil, err
	}
	return manifest, w.ask(ctx, manifest)
}

// system receives the image into the pool and makes it bootable.
func (w *work) system(ctx context.Context, manifest *content.Manifest) error {
	image, err := w.take(ctx, w.img, manifest)
	if err != nil {
		return err
	}
	kernel, err := w.takeKernel(ctx)
	if err != nil {
		return err
	}
	return w.bootable(ctx, image, kernel)
}

// warnOfBIOS warns, before anything is written, of a disk that the BIOS will not start.
func (w *work) warnOfBIOS() {
	if !w.o.BIOS || len(w.o.Drives) == 0 || w.target.SectorSize != 512 ||
		slices.Contains(w.o.Drives, w.target.Size/512) {
		return
	}
	w.warn("the BIOS of this machine has no drive as large as %s, so it may not start from it: "+
		"enable that disk in the BIOS setup (SATA mode, RAID, NVMe boot)", w.target.Path)
}

// warnOfHealth warns, before anything is written, of a disk that says that something is wrong with it.
func (w *work) warnOfHealth() {
	if what := w.target.Health.Warning(); what != "" {
		w.warn("%s: %s; a disk in this state may lose what is written to it", w.target, what)
	}
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
