package upkeep

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"
)

const updateHelp = `usage: griddle-agent update [--image IMAGE] [--when WHEN] [--allow-older] [--no-wait]
       griddle-agent update --set-up

Gives this machine the next version of its system, beside the one that runs. /home, /persistent and what makes this
machine itself stay. If the new system does not come up, the machine goes back by itself.

  --image IMAGE   the image, such as web:stable; else the newest version of what the machine was installed with
  --when WHEN     when the machine restarts: now, reboot (at the next restart, whenever that is), or a time such as
                  2026-11-30T06:00:00+01:00; else now
  --allow-older   the image may be older than the one that runs
  --no-wait       do not follow the update; it continues alone
  --set-up        install what updates need, on a machine that was installed before there were updates

Example: griddle-agent update --image web:stable --when reboot
`

// errNoUnits is the error of a machine that was installed before there were updates.
var errNoUnits = errors.New("this system was installed before there were updates: `griddle-agent update --set-up` " +
	"installs what is missing")

// update is `griddle-agent update`.
func (c *Command) update(ctx context.Context, args []string) error {
	l := newLine("update", updateHelp)
	image, when := l.String("image", "", ""), l.String("when", "", "")
	older, leave := l.Bool("allow-older", false, ""), l.Bool("no-wait", false, "")
	carry, nightly := l.Bool("order", false, ""), l.Bool("nightly", false, "") // for the units, as the next one
	refresh := l.Bool("refresh", false, "")
	setUp := l.Bool("set-up", false, "")
	if err := l.read(c.Out, args, 0); err != nil {
		return helped(err)
	}
	switch {
	case *carry:
		return c.Carry(ctx)
	case *refresh:
		return c.refresh(ctx)
	case *setUp:
		if err := c.SetUp(ctx); err != nil {
			return err
		}
		fmt.Fprintln(c.Out, "This machine can be updated now.")
		return nil
	}
	at, err := job.ParseWhen(*when)
	if err != nil {
		return usage("%v\n\n%s", err, updateHelp)
	}
	if !c.Installed() {
		return errNoUnits
	}
	if w, err := c.Orders.Waiting(); err != nil {
		return err
	} else if w != nil {
		return fmt.Errorf("%s runs already: `griddle-agent status` shows it", w.What())
	}
	spec, err := c.Ask(ctx, job.UpdateAsk{Image: *image, When: at, AllowOlder: *older})
	if *nightly && withheld(err) {
		fmt.Fprintf(c.Out, "This machine stays as it is: %v.\n", err)
		return nil
	}
	if err != nil {
		return err
	}
	ref := job.Printable(spec.Image.Ref)
	if spec.ID == "" { // the server made no job
		fmt.Fprintf(c.Out, "This machine has %s already.\n", ref)
		return nil
	}
	if r := c.Orders.Result(); r == nil || r.Job != spec.ID {
		if err := c.Orders.Give(order.Order{Spec: spec, Given: time.Now().UTC()}); err != nil {
			return err
		}
	}
	if *leave {
		fmt.Fprintf(c.Out, "The update to %s is ordered. `griddle-agent status` shows how it is.\n", ref)
		return nil
	}
	fmt.Fprintf(c.Out, "Updating to %s. The update continues if you leave this command.\n", ref)
	return c.follow(ctx, spec)
}

// refresh hands what changed over to a system that waits for its first start.
func (c *Command) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	p, err := c.Pool()
	if err != nil {
		return err
	}
	carried, err := update.Refresh(ctx, p)
	for _, what := range carried {
		fmt.Fprintf(c.Out, "kept: %s\n", what)
	}
	return errors.Join(err, p.Close())
}

// refreshTime is how long refresh keeps a shutdown.
const refreshTime = time.Minute

// withheld says whether the server has a newer version and does not give it to this machine by itself, such as one
// that failed on it before. Settings with mistakes are another matter: someone has to correct them.
func withheld(err error) bool {
	var p *job.Problem
	return errors.As(err, &p) && p.Status == http.StatusConflict && len(p.Mistakes) == 0
}

func helped(err error) error {
	if errors.Is(err, errHelp) {
		return nil
	}
	return err
}

// unitTime is how long the unit may take to begin.
const unitTime = 30 * time.Second

// follow shows what the unit does until the order is over.
func (c *Command) follow(ctx context.Context, spec job.Spec) error {
	said, tenth, late := "", 0, time.Now().Add(unitTime)
	for {
		if r := c.Orders.Result(); r != nil && r.Job == spec.ID {
			return c.over(*r, spec.When)
		}
		switch p := c.Orders.Progress(); {
		case p == nil || p.Job != spec.ID:
			if !late.IsZero() && time.Now().After(late) {
				late = time.Time{}
				fmt.Fprintln(c.Out, "The update has not begun: `systemctl status griddle-update` says why.")
			}
			if w, err := c.Orders.Waiting(); err == nil && w == nil && c.Orders.Result() == nil {
				return errors.New("the update was cancelled")
			}
		default:
			late = time.Time{}
			if p.Message != said && p.Message != "" && p.Phase != job.PhaseSwitch { // which is said at the end
				fmt.Fprintf(c.Out, "%-10s %s\n", p.Phase, p.Message)
				said, tenth = p.Message, 0
			}
			if p.Progress != nil && p.Progress.Percent()/10 > tenth {
				tenth = p.Progress.Percent() / 10
				fmt.Fprintf(c.Out, "%-10s %d %%\n", p.Phase, p.Progress.Percent())
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(c.Look):
		}
	}
}

// over says how an order ended.
func (c *Command) over(r order.Result, when job.When) error {
	switch {
	case r.State == order.Failed:
		return errors.New(r.Message)
	case r.State == order.Current:
		fmt.Fprintf(c.Out, "This machine runs %s already.\n", job.Printable(r.Image))
	case when == job.WhenReboot:
		fmt.Fprintf(c.Out, "%s is ready: the next start of this machine takes it.\n", r.Root)
	default:
		fmt.Fprintf(c.Out, "%s is ready: this machine restarts into it.\n", r.Root)
	}
	return nil
}

// note adds an event to the history of the pool.
func (c *Command) note(kind history.Kind, root string) error {
	return history.Append(c.Folder, history.Event{Kind: kind, Root: root})
}
