// Package update gives an installed machine another root, beside the one that runs.
//
// Call Run, on the installed system or in the boot image. When that system shuts down before the new root is started,
// call Refresh; after a blessing call Clean.
//
//	check      no other update runs, power, the way to the image, a kernel, room        nothing is written
//	           the settings of the machine                                              Options.Settings
//	receive    the streams that the pool lacks, into @images
//	verify     the tree against the image's content manifest
//	bootable   a root in @new: identity and kept data of the old one, settings, hooks; then it moves to @roots
//	switch     pool.Switch: GRUB tries the new root at the next start                   the one atomic step
//
// A machine whose roots are partitions of their own (pool.Place.Own) has no images. The image is received as a whole
// into the root that does not run, which is emptied before; there is no Refresh. What an error or a power cut leaves in
// that root is not started: before the first change of it, it is not a candidate, and has no mark of one that proved
// itself.
//
// The old root is the one that runs, or in the boot image the one that proved itself last. It stays as it is, and
// @home and @persistent are those of all roots.
//
//	@new/NAME                         the root on its way; what an update that was stopped left there is deleted by
//	                                  the next one
//	@new/.old                         the old root as it was then, for Refresh
//	@persistent/griddle/refresh.json  what else Refresh needs
//	@persistent/griddle/update.lock   locked while one runs
//
// # What it guarantees
//
// Before the switch nothing has changed that the machine boots: after an error or a power cut it boots the old root,
// and another Run begins again with the images that are whole. The new root is durable before the switch. An image
// that the pool has is verified again, and is not received. One from which nothing whole can be received is damaged:
// the history says so, and this and later Runs receive in another way.
package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/appliance/site"
	"griddle/imagestore/content"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/hook"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/pool/intake"
	"griddle/initramfs/progress"
)

// Errors that callers tell apart; those of Run wrap them. After each of them nothing was changed.
var (
	ErrBusy  = errors.New("another update of this machine runs")
	ErrOlder = errors.New("the image is older than the one that runs")
	ErrPower = errors.New("the battery is too low")
	ErrRoom  = errors.New("the pool has too little room")
	ErrImage = errors.New("the image cannot become a system of this machine")
)

// Image is the source of the bytes, which it has verified. fetch.Opened implements it.
type Image interface {
	intake.Image
	Content(ctx context.Context) (*content.Manifest, error)
}

// Options is what Run needs. Pool, Place, Spec, Open and Event must be given.
type Options struct {
	Pool  *pool.Pool
	Place pool.Place // that Pool was opened from
	Spec  job.Spec

	// Open asks for the way to the image of Spec and opens it. have are the received UUIDs of the images in the pool,
	// as job.PlanAsk takes them. It is called when nothing is written, and again with fewer of them if one turns out to
	// be damaged.
	Open func(ctx context.Context, have []string) (Image, error)

	// Kernel is Open for the kernel image of Spec. It is called if Spec has one and the image has no kernel. nil
	// refuses such an image.
	Kernel func(ctx context.Context, have []string) (Image, error)

	// Event gets what happens, without number and time. It must not block for long. An error of Run is not among the
	// events: the caller has it.
	Event func(job.Event)

	// Settings asks for the settings of the machine. It is called once, when nothing is written. nil means that it has
	// none.
	Settings func(context.Context) (setting.Settings, error)

	// Prepare ends the work when the image is received and verified. Another Run, without it, does the rest: then what
	// the new root gets of the old one is new.
	Prepare bool

	// Reinstall is for a job that installs: the image may be older, or that of the old root. A pool without a root that
	// boots gets one, as another machine. The job's hostname wins over that of the old root.
	Reinstall bool

	// Boot is called before the switch, when the new root is durable, for what the machine boots with; nil for nothing.
	Boot func(root string) error

	Name    string       // the server's name for the machine, for hooks
	Machine job.Identity // for hooks
	BIOS    bool         // the machine runs a BIOS now, for hooks
	Person  hook.Person  // decides about hooks that fail; nil if no one is at the machine
	Agent   string       // path of the static agent, copied to the new root
	CA      []byte       // PEM of the certificate authority, for the report of Spec.Home
	Site    site.Site    // what the service begins with, if Spec.Service has it made
	GRUB    string       // folder of the images that bootloader.BuildGRUB made; "" means bootloader.Images
	Resolv  string       // the resolv.conf of this machine; "" means "/etc/resolv.conf"
	Mount   string       // folder where the new root is mounted while it is made; "" means "/run/griddle-new-root"
	Power   string       // "" means "/sys/class/power_supply"

	Wire  func() int64     // encoded bytes received over the network so far; nil if no one counts them
	Ways  func() *job.Ways // how they were received; nil if no one knows
	Spool func(dir string) // see intake.Options; may be nil
}

func (o Options) defaults() Options {
	if o.GRUB == "" {
		o.GRUB = bootloader.Images
	}
	if o.Resolv == "" {
		o.Resolv = "/etc/resolv.conf"
	}
	if o.Mount == "" {
		o.Mount = "/run/griddle-new-root"
	}
	if o.Power == "" {
		o.Power = "/sys/class/power_supply"
	}
	if o.Wire == nil {
		o.Wire = func() int64 { return 0 }
	}
	return o
}

// Result is what Run did.
type Result struct {
	Root    string // that the machine starts next, without "@roots/"; "" after Options.Prepare
	Current bool   // Root is the old one: it is of this image already, and nothing was made
}

// Run carries out the update. It returns when the switch is durable.
func Run(ctx context.Context, o Options) (Result, error) {
	w := &work{Options: o.defaults(), phase: job.PhaseCheck}
	lock, err := w.lock()
	if err != nil {
		return Result{}, err
	}
	defer lock.Close()
	r, err := w.run(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // what stopped the work, and not which step it hit
	}
	if err != nil {
		return Result{}, err
	}
	return r, nil
}

// work is one run.
type work struct {
	Options
	phase    job.Phase
	contents pool.Contents
	old      pool.Root // without a name if there is none
	image    Image
	kernel   *taking // nil if the image has a kernel
	settings *setting.Settings
	args     *arguments.Arguments // of the kernel; nil for those of grub.cfg
	damaged  []string             // the images that nothing is received from
	taken    []string             // the folders of the images that this run took
}

func (w *work) run(ctx context.Context) (Result, error) {
	if len(w.Place.Own) > 0 {
		return w.runOwn(ctx)
	}
	w.enter(job.PhaseCheck, "checking %s and the pool", w.Spec.Image.Ref)
	t, err := w.check(ctx)
	if err != nil {
		return Result{}, err
	}
	w.complete()
	if w.current(t.in) && !w.Reinstall {
		return Result{Root: w.old.Name, Current: true}, w.stay()
	}
	dir, err := w.take(ctx, t)
	if err != nil {
		return Result{}, err
	}
	kernel := ""
	if w.kernel != nil {
		if kernel, err = w.take(ctx, *w.kernel); err != nil {
			return Result{}, err
		}
	}
	if w.Prepare {
		w.say("%s is received, and waits", w.image.Ref())
		return Result{}, nil
	}
	w.enter(job.PhaseBootable, "creating the new root")
	name, err := w.makeRoot(ctx, dir, kernel)
	if err != nil {
		return Result{}, err
	}
	return w.start(ctx, name)
}

// start has the machine try the new root at its next start.
func (w *work) start(ctx context.Context, name string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if w.Boot != nil {
		if err := w.Boot(name); err != nil {
			return Result{}, err
		}
	}
	if err := w.Pool.Switch(name); err != nil {
		return Result{}, err
	}
	w.note(history.Event{Kind: history.Switched, Root: name})
	w.enter(job.PhaseSwitch, "%s", job.NextStart(name))
	return Result{Root: name}, nil
}

// stay has the old root start next, if another one waits for its first try.
func (w *work) stay() error {
	w.say("%s runs already", w.image.Ref())
	c := w.contents
	if w.Prepare || c.Candidate == "" || c.Candidate == w.old.Name || c.Tries == 0 {
		return nil
	}
	w.say("%s is not started any more", pool.Label(c.Candidate))
	return w.Pool.Forget(c.Candidate)
}

// taking is an image that the pool takes.
type taking struct {
	how      func(context.Context, []string) (Image, error) // opens it
	image    Image
	in       *intake.Intake
	manifest *content.Manifest
}

func (w *work) receive(ctx context.Context, t taking) (string, error) {
	n := len(t.in.Streams())
	if n == 0 {
		w.say("the pool has %s already", t.image.Ref())
		return t.in.Receive(ctx, intake.Options{})
	}
	w.enter(job.PhaseReceive, "receiving %s: %d streams, %s", t.image.Ref(), n, job.Bytes(t.in.Raw()))
	var done atomic.Int64
	defer w.follow(t.in.Raw(), &done, w.Wire, w.Ways)()
	dir, err := t.in.Receive(ctx, intake.Options{Progress: done.Store, Spool: w.Spool,
		Warn: func(err error) { w.warn("%v", err) }})
	if err == nil && w.Ways != nil {
		if ways := w.Ways(); ways != nil {
			ways.Now = ""
			w.say("%s received over the network: %s", job.Bytes(w.Wire()), ways)
		}
	}
	return dir, err
}

// follow reports progress of the phase.
func (w *work) follow(total int64, done *atomic.Int64, wire func() int64, ways func() *job.Ways) (stop func()) {
	return progress.Follow(progress.Phase{Job: w.Spec.ID, Phase: w.phase, Total: total, Done: done.Load, Wire: wire,
		Ways: ways, Event: w.Event})
}

func (w *work) enter(p job.Phase, format string, args ...any) {
	w.phase = p
	w.say(format, args...)
}

func (w *work) say(format string, args ...any) { w.event(job.Info, fmt.Sprintf(format, args...)) }

func (w *work) warn(format string, args ...any) { w.event(job.Warning, fmt.Sprintf(format, args...)) }

func (w *work) event(level job.Level, text string) {
	w.Event(job.Event{Job: w.Spec.ID, Phase: w.phase, Level: level, Message: job.Sentence(text)})
}

// complete adds to the pool's history what a power cut kept out of it. What goes wrong there stops nothing.
func (w *work) complete() {
	dir, err := pool.Persistent(w.Pool.Dir())
	if err == nil {
		err = errors.Join(history.Complete(dir, w.contents.MadeOf(), w.contents.Candidate), dir.Close())
	}
	if err != nil {
		w.warn("%v", err)
	}
}

// note keeps an event in the pool's history. What goes wrong there stops nothing.
func (w *work) note(e history.Event) {
	if err := note(w.Pool, e); err != nil {
		w.warn("%v", err)
	}
}

// machine is what hooks may know.
func (w *work) machine(hostname string) hook.Machine {
	m := hook.Machine{Name: w.Name, Hostname: hostname, Image: w.image.Ref(), Disk: w.Place.Disk, Firmware: "uefi",
		Serial: w.Machine.Serial, UUID: w.Machine.UUID, Job: w.Spec.ID}
	if w.BIOS {
		m.Firmware = "bios"
	}
	if len(w.Machine.MACs) > 0 {
		m.MAC = w.Machine.MACs[0]
	}
	return m
}

// given is the hostname that someone gave: that of the settings, or of a job that installs; "" for none.
func (w *work) given() string {
	switch {
	case w.settings != nil && w.settings.Hostname != "":
		return w.settings.Hostname
	case w.Reinstall:
		return w.Spec.Hostname
	}
	return ""
}

// hostname is the given one, else that of the old root, if there is one, else it comes from the machine.
func (w *work) hostname(old *os.Root) string {
	if name := w.given(); name != "" {
		return name
	}
	if old != nil {
		if name := hostnameIn(old); name != "" {
			return name
		}
	}
	return newroot.Hostname(w.Machine)
}
