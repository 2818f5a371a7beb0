package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs"
	"griddle/initramfs/disk"
	"griddle/tui"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// station is one run of the agent: what it found, and who it talks to. One goroutine, run, owns its fields.
type station struct {
	log    *slog.Logger
	site   initramfs.Site
	build  initramfs.Build
	boot   string
	screen *screen
	dev    *devices
	disks  *disk.Scanner
	api    *appliance
	events *journal

	chosen chan job.Choice
	power  chan tui.Power
	retry  chan struct{}
}

// agent runs until the machine goes down or something is broken that no retry mends.
func agent(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &station{log: log, boot: uuid.NewString(), disks: &disk.Scanner{Sys: os.DirFS("/sys"), Open: disk.Open, Ask: disk.Blkid},
		chosen: make(chan job.Choice, 1), power: make(chan tui.Power, 1), retry: make(chan struct{}, 1)}
	if err := readJSON("/"+initramfs.BuildPath, &s.build); err != nil {
		return err
	}
	if err := loadKeymap("/"+initramfs.KeymapPath, "/dev/tty1"); err != nil {
		log.Error("keymap", "error", err)
	}
	s.screen = newScreen(log, s.build.Version, tui.Actions{
		Choose: func(c job.Choice) { offer(s.chosen, c) },
		Power:  func(p tui.Power) { offer(s.power, p) },
		Retry:  func() { offer(s.retry, struct{}{}) },
	})
	dev, err := newDevices(log)
	if err != nil {
		return err
	}
	s.dev = dev
	failed := make(chan error, 3)
	go func() { failed <- s.screen.run(ctx) }()
	go func() { failed <- dev.run(ctx) }()
	go func() { failed <- s.run(ctx) }()
	go s.obey(ctx)
	err = <-failed
	stop()
	s.screen.leave()
	return err
}

// offer gives v to whoever waits for it; a second one before the first was taken is dropped.
func offer[T any](c chan T, v T) {
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
	s.step(tui.Step{Name: stepDevices, State: tui.StepRunning, Detail: "loading drivers"})
	if !s.readSite() {
		<-ctx.Done()
		return nil
	}
	w := &network{site: s.site, first: bootMAC(cmdline()), tell: s.step, dev: s.dev}
	l, date, err := w.find(ctx)
	if err != nil {
		return nil // ctx ended
	}
	if err := setClock(date, built); err != nil {
		s.log.Warn("clock", "error", err)
	}
	go l.renew(ctx, s.log)
	s.api, err = newAppliance(s.site)
	if err != nil {
		return err
	}
	s.events = newJournal(s.log, s.boot, showOn(s.screen), s.api.events)
	go s.events.run(ctx)

	// Disks behind slow controllers come late; a little patience here spares a wrong "no disk fits".
	s.dev.settled(ctx, time.Second, 20*time.Second)
	for ctx.Err() == nil {
		found, err := s.hello(ctx, l)
		if err != nil {
			return nil
		}
		s.serve(ctx, l, found)
	}
	return nil
}

// readSite reads the site's part of the image. Without it nothing can be asked; that is a mistake of whoever
// loaded this image, so it is said and left at that.
func (s *station) readSite() bool {
	b, err := os.ReadFile("/" + initramfs.SitePath)
	if err == nil {
		s.site, err = initramfs.ParseSite(b)
	}
	if err == nil {
		return true
	}
	s.step(tui.Step{Name: stepServer, State: tui.StepFailed, Detail: job.Printable(err.Error()),
		Hint: "This boot image was loaded without its site part, which \"griddle serve\" hands out as the second initrd. Boot it through the appliance."})
	return false
}

// hello introduces the machine until the appliance answers, and sets the clock by the answer.
func (s *station) hello(ctx context.Context, l *leased) (tui.Found, error) {
	for {
		list, err := nics(l.nic.mac)
		if err != nil {
			s.log.Warn("listing network interfaces", "error", err)
		}
		s.step(tui.Step{Name: stepDevices, State: tui.StepRunning, Detail: "reading disks"})
		found := tui.Found{Identity: identity(s.log, list, l.nic.mac), Inventory: inventory(ctx, s.log, s.disks, list, l)}
		s.step(tui.Step{Name: stepDevices, State: tui.StepDone, Detail: fewDisks(found.Inventory.Disks)})
		found.Welcome, err = s.api.hello(ctx, job.Hello{Boot: s.boot, Agent: s.build.Version, Identity: found.Identity, Inventory: found.Inventory, Sources: []string{job.SourceHTTPS}})
		if err == nil {
			if err := setClock(found.Welcome.Time, time.Unix(s.build.Time, 0)); err != nil {
				s.log.Warn("clock", "error", err)
			}
			s.step(tui.Step{Name: stepServer, State: tui.StepDone, Detail: s.site.HTTPS})
			return found, nil
		}
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		s.step(tui.Step{Name: stepServer, State: tui.StepFailed, Detail: job.Sentence(err.Error()), Hint: hintFor(err)})
		select {
		case <-ctx.Done():
			return found, ctx.Err()
		case <-s.retry:
		case <-time.After(5 * time.Second):
		}
	}
}

func hintFor(err error) string {
	var p *job.Problem
	switch {
	case errors.As(err, &p):
		return "The appliance refused; its log says more. Trying again."
	case isCertificate(err):
		return "The appliance's certificate is not signed by the CA in this boot image: it was set up anew, or another one answers. Boot again through the appliance."
	}
	return "Is \"griddle serve\" running, and is its HTTPS port reachable? Trying again."
}

// serve acts on one welcome: the job, or what is chosen on the screen. It returns when the appliance is to be asked
// again.
func (s *station) serve(ctx context.Context, l *leased, found tui.Found) {
	// What was confirmed until now was confirmed on another page than the next one.
	select {
	case c := <-s.chosen:
		s.log.Warn("choice dropped: the appliance's answer is newer", "image", c.Image, "disk", c.Disk)
		s.screen.send(tui.Ended{Err: errChanged})
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
	again := time.NewTicker(10 * time.Second)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.retry:
			return
		case c := <-s.chosen:
			now, err := s.unchanged(ctx, c.Disk, l, found)
			var spec job.Spec
			if err == nil {
				spec, err = s.api.choose(ctx, c)
			}
			if err != nil {
				s.screen.send(tui.Ended{Err: err})
				select {
				case <-ctx.Done():
				case <-s.retry:
				}
				return
			}
			s.carryOut(ctx, l, spec, now)
			return
		case <-again.C:
			// An operator may have given this machine a job, or somebody plugged in a disk. Nothing else takes the
			// page away that a person is reading.
			next, ok := s.look(ctx, l, found)
			if ok {
				s.serve(ctx, l, next)
				return
			}
		}
	}
}

// look asks once more, quietly, and says whether there is something new.
func (s *station) look(ctx context.Context, l *leased, old tui.Found) (tui.Found, bool) {
	list, err := nics(l.nic.mac)
	if err != nil {
		return old, false
	}
	found := tui.Found{Identity: identity(s.log, list, l.nic.mac), Inventory: inventory(ctx, s.log, s.disks, list, l)}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	found.Welcome, err = s.api.hello(ctx, job.Hello{Boot: s.boot, Agent: s.build.Version, Identity: found.Identity, Inventory: found.Inventory, Sources: []string{job.SourceHTTPS}})
	if err != nil {
		s.log.Warn("asking for a job", "error", err)
		return old, false
	}
	return found, found.Welcome.Job != nil || !reflect.DeepEqual(found.Inventory.Disks, old.Inventory.Disks)
}

// unchanged looks at the disks once more: a page may have been read for hours.
func (s *station) unchanged(ctx context.Context, rule job.DiskRule, l *leased, shown tui.Found) (tui.Found, error) {
	list, err := nics(l.nic.mac)
	if err != nil {
		return shown, err
	}
	now := shown
	now.Inventory = inventory(ctx, s.log, s.disks, list, l)
	return now, sameDisk(rule, shown.Inventory.Disks, now.Inventory.Disks)
}

// errChanged is why a choice that was confirmed is not carried out.
var errChanged = errors.New("the disks or the job of this machine changed while you chose; nothing was touched, choose again")

// sameDisk fails where rule picks another disk now than among those that were shown, or one that holds something else.
func sameDisk(rule job.DiskRule, shown, now []job.Disk) error {
	was, err := rule.Pick(shown)
	if err != nil {
		return err
	}
	is, err := rule.Pick(now)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(was, is) {
		return fmt.Errorf("%w: it was %s, and is %s", errChanged, was, is)
	}
	return nil
}

// carryOut runs a job and stays until the machine goes down, somebody asks for another try or, after a failure, the
// appliance has another job.
func (s *station) carryOut(ctx context.Context, l *leased, spec job.Spec, found tui.Found) {
	unasked := found.Welcome.Job != nil
	var err error
	if spec.Kind == job.Relay {
		err = s.relay(ctx, l, spec)
	} else {
		err = s.install(ctx, l, spec, found)
	}
	if ctx.Err() != nil {
		return
	}
	// Rebooting before the appliance knows would make it start the job again.
	if err == nil {
		wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
		_ = s.events.flush(wait)
		cancel()
	}
	s.screen.send(tui.Ended{Err: err})
	if err == nil && unasked {
		for n := 5; n > 0; n-- {
			s.screen.send(tui.Countdown{Seconds: n})
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
		offer(s.power, tui.Reboot)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-s.retry:
		}
		return
	}
	untilAnother(ctx, s.retry, spec.ID, func() string {
		next, _ := s.look(ctx, l, found)
		if next.Welcome.Job == nil {
			return ""
		}
		return next.Welcome.Job.ID
	})
}

// untilAnother returns when somebody asks for another try, or look tells of a job that is not the one that failed: nobody
// may be in front of the machine. The same job is left alone, for it would fail and begin again without end.
func untilAnother(ctx context.Context, retry <-chan struct{}, failed string, look func() string) {
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

// obey does what is asked of the machine's power, at any time.
func (s *station) obey(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.power:
			switch p {
			case tui.Shell:
				go func() { // the other consoles go on meanwhile
					if err := s.screen.shell(); err != nil {
						s.log.Warn("shell", "error", err)
					}
				}()
			case tui.Off:
				s.down(unix.LINUX_REBOOT_CMD_POWER_OFF)
			default:
				s.down(unix.LINUX_REBOOT_CMD_RESTART)
			}
		}
	}
}

// down ends the machine's run. What was installed has been unmounted long before.
func (s *station) down(how int) {
	s.screen.leave()
	unix.Sync()
	if err := unix.Reboot(how); err != nil {
		s.log.Error("going down", "error", err)
	}
}
