package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/care"
	"griddle/initramfs/chroot"
	"griddle/initramfs/console"
	"griddle/initramfs/maintain"
	"griddle/initramfs/pool"
	"griddle/tui"
	pages "griddle/tui/care"

	tea "github.com/charmbracelet/bubbletea"
)

// carer carries out what people decide on the pages for maintenance and recovery: on the disks of a machine that booted
// from the network, or on the installed system.
type carer struct {
	ctx    context.Context
	log    *slog.Logger
	send   func(tea.Msg)
	places func() ([]pool.Place, error)
	enter  func(ctx context.Context, s *pool.System) error

	// machine is the system that runs, and here a shell in it; nil if none of the pools' does.
	machine func(p *pool.Pool) (maintain.Machine, func() error, error)
	here    func(ctx context.Context) error

	one sync.Mutex // held while a pool is read or changed
}

// caring is for the disks of a machine that booted from the network.
func (s *station) caring(ctx context.Context) *carer {
	return &carer{ctx: ctx, log: s.log, send: func(m tea.Msg) { s.screen.send(m) },
		places: func() ([]pool.Place, error) {
			s.rest(ctx) // a pool that is being looked at cannot be opened for writing
			return pool.All(), nil
		},
		enter: func(ctx context.Context, root *pool.System) error {
			greeting := "This is a shell in the root " + pool.Label(root.Name) + ". \"exit\" returns to the screen."
			return s.screen.lend(greeting, func(tty *os.File, path string) error {
				return care.Enter(ctx, root, tty, console.Term(path))
			})
		}}
}

// actions are for the pages. They return at once.
func (c *carer) actions() pages.Actions {
	return pages.Actions{
		Look: func() { go func() { c.send(pages.Pools{Pools: c.look()}) }() },
		Do: func(r pages.Request) {
			go func() {
				said, err := c.do(r)
				c.log.Info("care", "verb", r.Verb, "disk", r.Disk, "name", r.Name, "error", err) // never its values
				c.send(pages.Ended{Said: said, Err: err, Pools: c.look()})
			}()
		},
	}
}

// forms are the tasks of package maintain, for the pages.
func forms() []pages.Form {
	var out []pages.Form
	for _, t := range maintain.Tasks() {
		f := pages.Form{Name: t.Name, Title: t.Title, About: t.About}
		for _, field := range t.Fields {
			f.Fields = append(f.Fields, pages.Field{Name: field.Name, Label: field.Label, Help: field.Help,
				Required: field.Required, Secret: field.Secret})
		}
		out = append(out, f)
	}
	return append(out, pages.Form{Name: shellForm, Title: "Shell", Here: true,
		About: "Starts a shell in this system. \"exit\" goes back."})
}

// shellForm is the form of a shell in the system that maintenance changes.
const shellForm = "shell"

// look reads all pools.
func (c *carer) look() []pages.Pool {
	c.one.Lock()
	defer c.one.Unlock()
	places, err := c.places()
	if err != nil {
		c.log.Warn("looking for pools", "error", err)
	}
	var out []pages.Pool
	for _, place := range places {
		p := pages.Pool{Disk: place.Disk, Name: fmt.Sprintf("%s (%s)", place.Disk, job.Bytes(place.Size)),
			Here: c.machine != nil}
		if err := readPool(place, &p); err != nil {
			p.Problem = err.Error()
		}
		out = append(out, p)
	}
	return out
}

// readPool fills in what is in a pool.
func readPool(place pool.Place, out *pages.Pool) error {
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	all, err := p.Read()
	if err = errors.Join(err, p.Close()); err != nil {
		return err
	}
	out.Free = fmt.Sprintf("%s of %s are free", job.Bytes(all.Free), job.Bytes(all.Size))
	if all.NoBoots != nil {
		out.Problem = all.NextStarts()
	}
	out.System = pool.Label(system(all))
	for _, r := range all.Roots {
		e := pages.Entry{Name: pool.Label(r.Name), Made: made(r.Created), State: r.State(), Lost: r.Lost()}
		if err := all.MayDelete(r); err != nil {
			e.Keep = reasonOf(err)
		}
		switch {
		case r.Boots:
			e.NoBoot = "it boots already"
		case !r.Kernel:
			e.NoBoot = "it has no kernel"
		case all.Unread() != nil:
			e.NoBoot = out.Problem
		}
		if r.Runs {
			e.NoIn, out.System, out.Here = "it is the system that runs", e.Name, true
		}
		out.Roots = append(out.Roots, e)
	}
	for _, i := range all.Images {
		e := pages.Entry{Name: pool.Label(i.Name), Made: made(i.Created), Lost: i.Lost()}
		if err := all.MayDeleteImage(i); err != nil {
			e.Keep = reasonOf(err)
		}
		out.Images = append(out.Images, e)
	}
	if len(all.Roots) == 0 {
		out.System = ""
	}
	return nil
}

func made(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Format("2006-01-02 15:04")
}

// reasonOf is why something is refused, without what it is.
func reasonOf(err error) string {
	_, why, ok := strings.Cut(err.Error(), pool.ErrRefused.Error()+": ")
	if !ok {
		return err.Error()
	}
	return why
}

// system is the root that maintenance changes where none runs: that which boots, else the newest.
func system(all pool.Contents) string {
	if all.NoBoots == nil || len(all.Roots) == 0 {
		return all.Boots
	}
	return all.Roots[0].Name
}

// do carries one request out.
func (c *carer) do(r pages.Request) (said []string, err error) {
	c.one.Lock()
	defer c.one.Unlock()
	places, err := c.places()
	if err != nil {
		return nil, err
	}
	for _, place := range places {
		if place.Disk != r.Disk {
			continue
		}
		p, err := pool.Open(place)
		if err != nil {
			return nil, err
		}
		said, err := c.on(p, r)
		return said, errors.Join(err, p.Close())
	}
	return nil, fmt.Errorf("%s has no pool any more", r.Disk)
}

func (c *carer) on(p *pool.Pool, r pages.Request) ([]string, error) {
	switch r.Verb {
	case pages.Boot:
		if err := p.Boot(r.Name); err != nil {
			return nil, err
		}
		all, err := p.Read()
		return done(all.NextStarts(), err)
	case pages.DeleteRoot:
		return done("The root "+r.Name+" is deleted.", p.DeleteRoot(r.Name))
	case pages.DeleteImage:
		return done("The image "+r.Name+" is deleted.", p.DeleteImage(r.Name))
	case pages.Enter:
		return done("The shell has ended.", c.shell(p, r.Name))
	}
	if r.Name == shellForm && c.here != nil {
		return done("The shell has ended.", c.here(c.ctx))
	}
	if r.Name == shellForm {
		all, err := p.Read()
		if err == nil {
			err = c.shell(p, system(all))
		}
		return done("The shell has ended.", err)
	}
	t, ok := maintain.Find(r.Name)
	if !ok {
		return nil, fmt.Errorf("there is no task %q", r.Name)
	}
	m, done, err := c.toChange(p)
	if err != nil {
		return nil, err
	}
	said, err := t.Do(c.ctx, m, r.Values)
	return said, errors.Join(err, done())
}

// done is what was done, if it was.
func done(said string, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return []string{said}, nil
}

// shell starts a shell in a root that does not run.
func (c *carer) shell(p *pool.Pool, root string) error {
	s, err := p.System(root)
	if err != nil {
		return err
	}
	return errors.Join(c.enter(c.ctx, s), s.Close())
}

// toChange is the system that maintenance changes.
func (c *carer) toChange(p *pool.Pool) (maintain.Machine, func() error, error) {
	if c.machine != nil {
		return c.machine(p)
	}
	all, err := p.Read()
	if err != nil {
		return maintain.Machine{}, nil, err
	}
	s, err := p.System(system(all))
	if err != nil {
		return maintain.Machine{}, nil, err
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return maintain.Machine{}, nil, errors.Join(err, s.Close())
	}
	m := maintain.Machine{Root: root,
		Run: func(ctx context.Context, p maintain.Program) error {
			return chroot.Root{Dir: s.Dir, Hostname: s.Hostname()}.Run(ctx, p.Name, p.Args...)
		},
		Bootloader: func() error { return care.InstallBootloader(p, os.DirFS(bootloader.Images)) }}
	return m, func() error { return errors.Join(root.Close(), s.Close()) }, nil
}

// watch says whether a disk of this machine has a pool, when that changes.
func (c *carer) watch(settled func()) {
	settled()
	for is := false; c.ctx.Err() == nil; {
		if now := len(pool.All()) > 0; now != is {
			is = now
			c.send(tui.Installed{Is: is})
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}
