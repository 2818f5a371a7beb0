package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs"
	"griddle/initramfs/console"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/smart"
	"griddle/initramfs/facts"
	"griddle/initramfs/hotplug"
	"griddle/initramfs/journal"
	"griddle/initramfs/lldp"
	"griddle/initramfs/uplink"
	"griddle/tui"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// The names of steps, as the screen lists them; package uplink has the others.
const (
	stepMemory  = "Memory"
	stepDevices = "Devices"
)

// station is one run of the agent: what it found, and its connections. One goroutine, run, owns its fields.
type station struct {
	log    *slog.Logger
	site   site.Site
	build  initramfs.Build
	boot   string
	screen *screen
	dev    *hotplug.Devices
	disks  *disk.Scanner
	api    *client
	events *journal.Journal
	lldp   lldp.Listener
	key    tls.Certificate // by which this boot proves itself

	chosen chan job.Choice
	power  chan tui.Power
	retry  chan struct{}

	answers chan tui.HookAnswer

	done atomic.Pointer[job.Spec] // the last job that was carried out and left a system
}

// agent runs until the machine goes down or until something fails that a retry cannot fix.
func agent(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &station{log: log, boot: uuid.NewString(),
		disks: &disk.Scanner{Sys: os.DirFS("/sys"), Open: disk.Open, Ask: content.Blkid,
			Health: smart.Ask, Facts: facts.Of},
		chosen: make(chan job.Choice, 1), power: make(chan tui.Power, 1), retry: make(chan struct{}, 1),
		answers: make(chan tui.HookAnswer, 1)}
	if err := readJSON("/"+initramfs.BuildPath, &s.build); err != nil {
		return err
	}
	if err := console.LoadKeymap("/"+site.KeymapPath, "/dev/tty1"); err != nil {
		log.Error("keymap", "error", err)
	}
	care := s.caring(ctx)
	s.screen = newScreen(log, s.build.Version, tui.Actions{
		Choose: func(c job.Choice) { trySend(s.chosen, c) },
		Power:  func(p tui.Power) { trySend(s.power, p) },
		Retry:  func() { trySend(s.retry, struct{}{}) },
		Hook:   func(a tui.HookAnswer) { trySend(s.answers, a) },
		Care:   care.actions(),
	})
	dev, err := hotplug.New(log)
	if err != nil {
		return err
	}
	s.dev = dev
	failed := make(chan error, 3)
	go func() { failed <- s.screen.run(ctx) }()
	go func() { failed <- dev.Run(ctx) }()
	go func() { failed <- s.run(ctx) }()
	go s.lldp.Run(ctx, log)
	go s.handlePower(ctx)
	go care.watch(func() { dev.Settled(ctx, time.Second, 20*time.Second) })
	err = <-failed
	stop()
	s.screen.leave()
	return err
}

// trySend sends v to the goroutine that waits for it. A second value is dropped if the first is still waiting.
func trySend[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the boot image: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

func (s *station) step(step tui.Step) {
	s.log.Info("step", "name", step.Name, "detail", step.Detail, "hint", step.Hint)
	s.screen.send(step)
}

// run is the boot from here on: site, network, hello, job or questions.
func (s *station) run(ctx context.Context) error {
	built := time.Unix(s.build.Time, 0)
	if err := setClock(time.Now(), built); err != nil {
		s.log.Warn("clock", "error", err)
	}
	if step, low := lowMemory(memory(os.DirFS("/proc"))); low {
		s.step(step)
	}
	s.step(tui.Step{Name: stepDevices, State: tui.StepRunning, Detail: "loading drivers"})
	if !s.readSite() {
		<-ctx.Done()
		return nil
	}
	f := &uplink.Finder{Server: s.site.HTTP, First: uplink.BootMAC(cmdline()), Tell: s.step, Devices: s.dev,
		Log: s.log}
	l, date, err := f.Find(ctx)
	if err != nil {
		return nil // ctx ended
	}
	if err := setClock(date, built); err != nil {
		s.log.Warn("clock", "error", err)
	}
	go l.Renew(ctx, s.log)

	loadEDD(s.log)
	// Disks behind slow controllers come late; a short wait here spares a wrong "no disk matches".
	s.dev.Settled(ctx, time.Second, 20*time.Second)
	found, err := s.introduce(ctx, l)
	if err == nil {
		s.events = journal.New(s.log, s.boot, showOn(s.screen), s.report(ctx))
		go s.events.Run(ctx)
	}
	for err == nil && ctx.Err() == nil {
		s.serve(ctx, l, found, errAsked)
		found, err = s.hello(ctx, l)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// readSite reads the site's part of the image. Without it the agent cannot ask the server. The image was then loaded in
// the wrong way, so the screen only says that.
func (s *station) readSite() bool {
	b, err := os.ReadFile("/" + site.Path)
	if err == nil {
		s.site, err = site.Parse(b)
	}
	if err == nil {
		return true
	}
	s.step(tui.Step{Name: uplink.StepServer, State: tui.StepFailed, Detail: job.Printable(err.Error()),
		Hint: siteTrouble(err)})
	return false
}

// hello introduces the machine until the server answers, and sets the clock by the answer.
func (s *station) hello(ctx context.Context, l *uplink.Lease) (tui.Found, error) {
	for {
		list, err := uplink.NICs(l.NIC.MAC)
		if err != nil {
			s.log.Warn("listing network interfaces", "error", err)
		}
		s.step(tui.Step{Name: stepDevices, State: tui.StepRunning, Detail: "reading disks"})
		found := tui.Found{Identity: identity(s.log, list),
			Inventory: s.inventory(ctx, list, l)}
		s.step(tui.Step{Name: stepDevices, State: tui.StepDone, Detail: fewDisks(found.Inventory.Disks)})
		found.Welcome, err = s.api.hello(ctx, s.introduction(found))
		found.Layouts, found.Mirror = found.Welcome.Layouts, s.mirrors(found)
		s.watched(ctx, found.Welcome.Screen)
		if err == nil {
			if err := setClock(found.Welcome.Time, time.Unix(s.build.Time, 0)); err != nil {
				s.log.Warn("clock", "error", err)
			}
			s.step(tui.Step{Name: uplink.StepServer, State: tui.StepDone, Detail: s.site.HTTPS})
			return found, nil
		}
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		// A list that was read before the link went says nothing of it.
		lost := ""
		if now, e := uplink.NICs(l.NIC.MAC); e == nil {
			lost = lostLink(now, l.NIC.Name, l.NIC.MAC)
		}
		s.screen.send(tui.Asking{})
		s.step(tui.Step{Name: uplink.StepServer, State: tui.StepFailed, Detail: job.Sentence(err.Error()),
			Hint: hintFor(err, lost)})
		select {
		case <-ctx.Done():
			return found, ctx.Err()
		case <-s.retry:
		case <-time.After(5 * time.Second):
		}
	}
}

// introduction is what this boot says of itself.
func (s *station) introduction(found tui.Found) job.Hello {
	return job.Hello{Boot: s.boot, Agent: s.build.Version, Identity: found.Identity, Inventory: found.Inventory,
		Sources: []string{job.SourceHTTPS},
		Features: []string{job.FeatureSettings, job.FeatureUpdate, job.FeatureKernel, job.FeatureReset,
			job.FeatureMatch, job.FeatureErase, job.FeatureLayout, job.FeatureMirror, job.FeatureRoots,
			job.FeatureLUKS, job.FeatureRecovery, job.FeatureVolumes, job.FeatureEncryptedPool, job.FeatureScreen}}
}

// mirrors says whether this agent and the server that answered carry out layouts whose pool is on two disks.
func (s *station) mirrors(found tui.Found) bool {
	return found.Welcome.Mirror && slices.Contains(s.introduction(found).Features, job.FeatureMirror)
}

// serve acts on one welcome: the job, or what is chosen on the screen. It returns when the server is to be asked
// again.
func (s *station) serve(ctx context.Context, l *uplink.Lease, found tui.Found, why error) {
	// What was confirmed until now was confirmed on another page than the next one.
	select {
	case c := <-s.chosen:
		if found.Welcome.Job != nil {
			why = errOrdered
		}
		s.log.Warn("choice dropped", "image", c.Image, "disk", c.Disk, "why", why)
		s.screen.send(tui.Ended{Err: why})
		if found.Welcome.Job == nil {
			select {
			case <-ctx.Done():
			case <-s.retry:
			}
			return
		}
	default:
	}
	s.screen.send(found)
	if found.Welcome.Job != nil {
		s.carryOut(ctx, l, *found.Welcome.Job, found)
		return
	}
	s.watchWhileChoosing(ctx, l, found)
}

// watchWhileChoosing updates the screen while the user reads and chooses, when something changes: the link, the server,
// its job, the disks.
func (s *station) watchWhileChoosing(ctx context.Context, l *uplink.Lease, found tui.Found) {
	w := &watch{name: l.NIC.Name, mac: l.NIC.MAC, nics: found.Inventory.NICs}
	again, link := time.NewTicker(10*time.Second), time.NewTicker(lookEvery)
	defer again.Stop()
	defer link.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.retry:
			return
		case c := <-s.chosen:
			s.carryOutChoice(ctx, l, c, found)
			return
		case <-link.C:
			s.watchLink(w, w.failed)
		case <-again.C:
			if w.down {
				continue
			}
			// An operator may have given this machine a job, or somebody plugged in a disk. Nothing else takes the
			// page away that a person is reading.
			next, ok, err := s.refresh(ctx, l, found)
			if ok {
				s.serve(ctx, l, next, errChanged)
				return
			}
			s.watchLink(w, err)
		}
	}
}

// watchLink shows changes of the connection to the server on the screen.
func (s *station) watchLink(w *watch, failed error) {
	list, err := uplink.NICs(w.mac)
	if err != nil {
		s.log.Warn("listing network interfaces", "error", err)
		return
	}
	if news, ok := w.look(list, failed); ok {
		s.log.Info("connection to the server", "lost", news.Lost)
		s.screen.send(news)
	}
}

// carryOutChoice asks for the job that was chosen on the screen, and carries it out.
func (s *station) carryOutChoice(ctx context.Context, l *uplink.Lease, c job.Choice, found tui.Found) {
	now, err := s.unchanged(ctx, c, l, found)
	var spec job.Spec
	if err == nil {
		if spec, err = s.api.choose(ctx, c); err != nil {
			err = choiceTrouble(err)
		}
	}
	if err == nil {
		s.carryOut(ctx, l, spec, now)
		return
	}
	s.screen.send(tui.Ended{Err: err})
	select {
	case <-ctx.Done():
	case <-s.retry:
	}
}

// refresh asks the server again without showing it, and says whether something is new. The error is the server's.
func (s *station) refresh(ctx context.Context, l *uplink.Lease, old tui.Found) (tui.Found, bool, error) {
	list, err := uplink.NICs(l.NIC.MAC)
	if err != nil {
		s.log.Warn("listing network interfaces", "error", err)
		return old, false, nil
	}
	found := tui.Found{Identity: identity(s.log, list), Inventory: s.inventory(ctx, list, l)}
	short, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	found.Welcome, err = s.api.hello(short, s.introduction(found))
	found.Layouts, found.Mirror = found.Welcome.Layouts, s.mirrors(found)
	s.watched(ctx, found.Welcome.Screen)
	if err != nil {
		s.log.Warn("asking for a job", "error", err)
		return old, false, err
	}
	return found, changed(old, found), nil
}

// changed says whether the screen has to show next instead of old: a job, other disks, or that an operator has to
// approve this boot or has approved it.
func changed(old, next tui.Found) bool {
	return next.Welcome.Job != nil || !reflect.DeepEqual(next.Inventory.Disks, old.Inventory.Disks) ||
		!reflect.DeepEqual(next.Welcome.Approval, old.Welcome.Approval)
}

// settled is the inventory with all that is known of filesystems, which a plan needs: to look at them may take minutes.
func (s *station) settled(ctx context.Context, l *uplink.Lease, known job.Inventory) job.Inventory {
	if !s.disks.Settle(ctx) {
		return known
	}
	list, err := uplink.NICs(l.NIC.MAC)
	if err != nil {
		s.log.Warn("listing network interfaces", "error", err)
		return known
	}
	return s.inventory(ctx, list, l)
}

// rest stops what still looks at the disks: they are about to be changed.
func (s *station) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s.disks.Rest(ctx)
}

// countdown is how many seconds a machine shows what came of its job before it restarts: time to press a key for
// someone who is there. Most often no one is, and the machine is needed.
const countdown = 5

// carryOut runs a job. It returns when the machine goes down, when the user tries again, or, after a failure, when the
// server has another job.
func (s *station) carryOut(ctx context.Context, l *uplink.Lease, spec job.Spec, found tui.Found) {
	unasked := found.Welcome.Job != nil
	if len(spec.Layout) > 0 {
		found.Inventory = s.settled(ctx, l, found.Inventory)
	}
	s.rest(ctx)
	var err error
	switch spec.Kind {
	case job.Relay:
		err = s.relay(ctx, l, spec)
	case job.Update:
		err = s.update(ctx, l, spec, found)
	case job.Erase:
		err = s.erase(ctx, spec, found)
	default:
		err = s.install(ctx, l, spec, found)
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil && spec.Kind != job.Relay && spec.Kind != job.Erase {
		s.done.Store(&spec)
	}
	// Rebooting before the server knows would make it start the job again.
	knows := false
	if err == nil {
		wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
		knows = s.events.Flush(wait) == nil
		cancel()
	}
	s.screen.send(tui.Ended{Err: err})
	if knows && spec.Kind == job.Install {
		s.tellDisks(ctx, l, found)
	}
	stays := leavesSystem(spec, found.Inventory.Disks)
	if err == nil && unasked && stays {
		for n := countdown; n > 0; n-- {
			s.screen.send(tui.Countdown{Seconds: n})
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		trySend(s.power, tui.Reboot)
	}
	if err == nil && stays {
		select {
		case <-ctx.Done():
		case <-s.retry:
		}
		return
	}
	// A machine without a system shows what came of the erase, and is ready for an install.
	waitForAnother(ctx, s.retry, spec.ID, func() string {
		next, _, _ := s.refresh(ctx, l, found)
		if next.Welcome.Job == nil {
			return ""
		}
		return next.Welcome.Job.ID
	})
}

// waitForAnother returns when the user tries again, or when look returns another job than the failed one: there may be
// no user at the machine. It ignores the failed job, which would fail and start again without end.
func waitForAnother(ctx context.Context, retry <-chan struct{}, failed string, look func() string) {
	again := time.NewTicker(10 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry:
			return
		case <-again.C:
			if id := look(); id != "" && id != failed {
				return
			}
		}
	}
}

// handlePower reboots, switches off or starts a shell when the user asks for it, at any time.
func (s *station) handlePower(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.power:
			switch p {
			case tui.Shell:
				go func() { // the other consoles go on meanwhile
					if err := s.shell(ctx); err != nil {
						s.log.Warn("shell", "error", err)
					}
				}()
			case tui.Off:
				s.shutDown(unix.LINUX_REBOOT_CMD_POWER_OFF)
			default:
				s.restart(ctx)
			}
		}
	}
}

// shutDown reboots the machine or switches it off. The installed system was unmounted before.
func (s *station) shutDown(how int) {
	s.screen.leave()
	unix.Sync()
	if err := unix.Reboot(how); err != nil {
		s.log.Error("going down", "error", err)
	}
}
