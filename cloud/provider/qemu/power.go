package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"griddle/cloud/provider"
)

// deed is what is to be done so that a server comes to its Power.
type deed string

const (
	nothing deed = ""
	begin   deed = "start"
	noted   deed = "note that it was started"
	cut     deed = "take the power"
	settled deed = "end what was begun"
)

// next says what a server needs, given whether its process runs.
func next(s *serverRecord, runs bool, now time.Time) deed {
	switch {
	case s.Power == powerOn && s.Failed != "":
	case s.Power == powerOn && !s.Started && runs:
		return noted
	case s.Power == powerOn && !s.Started:
		return begin
	case s.Power != powerOn && runs && !now.Before(s.Deadline):
		return cut
	case s.Power == powerReboot && !runs:
		return begin
	case s.Power == powerGone && !runs:
		return settled
	}
	return nothing
}

// settleStack brings all servers of a stack further. The state is locked.
func (q *QEMU) settleStack(ctx context.Context, stack string) error {
	servers, err := q.servers(stack)
	if err != nil {
		return err
	}
	for _, r := range servers {
		if err := q.settle(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// settle brings a server further, as far as that needs no waiting. The state is locked.
func (q *QEMU) settle(ctx context.Context, r *record) error {
	dir, s := q.serverDir(r), r.Server
	for {
		runs, err := alive(dir)
		if err != nil {
			return err
		}
		switch next(s, runs, time.Now()) {
		case nothing:
			return nil
		case noted:
			s.Started = true
			if err := q.write(r); err != nil {
				return err
			}
		case cut:
			if err := end(ctx, dir); err != nil {
				return fmt.Errorf("taking the power of server %q: %w", r.name(), err)
			}
		case begin:
			rebooted := s.Power == powerReboot
			err := q.start(ctx, r)
			if err == nil {
				return nil
			}
			if ctx.Err() != nil || errors.Is(err, provider.ErrTemporary) {
				return err
			}
			if s.Failed = err.Error(); rebooted {
				s.Power, s.Failed = powerOff, ""
			}
			return q.write(r)
		case settled:
			return q.drop(dir)
		}
	}
}

// Control implements provider.Provider.
func (q *QEMU) Control(ctx context.Context, x provider.Resource, a provider.Action) error {
	fail := func(err error) error { return fmt.Errorf("%s of server %q: %w", a, x.Name, err) }
	return q.locked(ctx, func() error {
		r, err := q.ours(x)
		if err == nil && r != nil && r.Server != nil {
			if err = q.settle(ctx, r); err == nil && r.Server.Power == powerGone {
				r = nil
			}
		}
		if err == nil && (r == nil || r.Server == nil) {
			err = provider.ErrNotFound
		}
		if err != nil {
			return fail(err)
		}
		runs, err := alive(q.serverDir(r))
		if err != nil {
			return fail(err)
		}
		switch {
		case a == provider.Start:
			err = q.powerUp(ctx, r, runs)
		case a == provider.Stop && runs:
			err = q.shutDown(ctx, r, powerOff, q.ShutdownTimeout)
		case a == provider.Stop:
			r.Server.Power, r.Server.Deadline = powerOff, time.Time{}
			err = q.write(r)
		case a == provider.Reboot && runs:
			err = q.shutDown(ctx, r, powerReboot, q.ShutdownTimeout)
		case a == provider.Reboot:
			err = q.powerUp(ctx, r, runs)
		default:
			err = fmt.Errorf("this is not an action: %w", provider.ErrInvalid)
		}
		if err != nil {
			return fail(err)
		}
		return nil
	})
}

// powerUp starts a server, has one that is being shut down start again, and one that QEMU has paused go on.
func (q *QEMU) powerUp(ctx context.Context, r *record, runs bool) error {
	s := r.Server
	switch {
	case !runs:
		return q.start(ctx, r)
	case s.Power == powerOff:
		s.Power = powerReboot
		return q.write(r)
	case s.Power == powerReboot:
		return nil
	}
	return q.running(ctx, r, func(m *monitor) error {
		is, err := m.Status(ctx)
		if err == nil && (is == "paused" || is == "io-error") {
			_, err = m.Do(ctx, "cont", nil)
		}
		return err
	})
}

// shutDown asks the system to shut down. A second time it asks again, and the deadline stays.
func (q *QEMU) shutDown(ctx context.Context, r *record, to power, timeout time.Duration) error {
	s := r.Server
	if s.Power == powerOn {
		s.Deadline = time.Now().Add(timeout).UTC()
	}
	s.Power = to
	if err := q.write(r); err != nil {
		return err
	}
	return q.running(ctx, r, func(m *monitor) error {
		_, err := m.Do(ctx, "system_powerdown", nil)
		return err
	})
}

// ours reads the record of x: nil where it is gone, ErrTaken where it does not bear x's labels.
func (q *QEMU) ours(x provider.Resource) (*record, error) {
	r, err := q.byID(x.Kind, x.ID)
	if err != nil || r == nil {
		return nil, err
	}
	if r.stack() != x.Stack || r.name() != x.Name {
		return nil, fmt.Errorf("it has the labels of %q of stack %q: %w", r.name(), r.stack(), provider.ErrTaken)
	}
	return r, nil
}

// Remove implements provider.Provider. A server with volumes shuts down first, so that what is on them is whole.
func (q *QEMU) Remove(ctx context.Context, x provider.Resource) error {
	err := q.locked(ctx, func() error {
		r, err := q.ours(x)
		if err != nil || r == nil {
			return err
		}
		if s := r.Server; s != nil {
			if s.Power != powerGone {
				timeout := time.Duration(0)
				if len(s.Volumes) > 0 {
					timeout = q.ShutdownTimeout
				}
				if s.Power != powerOn {
					timeout = max(0, min(timeout, time.Until(s.Deadline)))
				}
				s.Power = powerOn // the deadline is a new one
				if err := q.shutDown(ctx, r, powerGone, timeout); err != nil {
					return err
				}
			}
			return q.settle(ctx, r)
		}
		if err := q.unused(r); err != nil {
			return err
		}
		dir := q.home(r.kind(), r.stack(), r.name())
		if r.Image != nil {
			dir = q.path("images", r.digest())
		}
		return q.drop(dir)
	})
	if err != nil {
		return fmt.Errorf("removing %s %q: %w", x.Kind, x.Name, err)
	}
	return nil
}

// unused says whether a server needs r. An image is needed by servers of all stacks: their disks are only
// what differs from it.
func (q *QEMU) unused(r *record) error {
	stacks := []string{r.stack()}
	if r.Image != nil {
		all, err := os.ReadDir(q.path("stacks"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		stacks = nil
		for _, e := range all {
			stacks = append(stacks, e.Name())
		}
	}
	for _, stack := range stacks {
		servers, err := q.servers(stack)
		if err != nil {
			return err
		}
		for _, s := range servers {
			v := s.Server
			if slices.Contains(append([]string{v.Image, v.Network, v.Firewall, v.Address}, v.Volumes...), r.id()) {
				return fmt.Errorf("server %q of stack %q uses it: %w", s.name(), stack, provider.ErrTemporary)
			}
		}
	}
	return nil
}
