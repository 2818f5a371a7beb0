package upkeep

import (
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/liveupdate"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/update"
)

const statusHelp = `usage: griddle-agent status

Shows what this machine runs, what the next start takes, whether an update runs, and the systems that it keeps.

Example: griddle-agent status
`

// status is `griddle-agent status`.
func (c *Command) status(args []string) error {
	l := newLine("status", statusHelp)
	settle := l.Bool("settle", false, "") // for the unit that runs after each start
	if err := l.read(c.Out, args, 0); err != nil {
		return helped(err)
	}
	p, err := c.Pool()
	if err != nil {
		return err
	}
	if *settle {
		return errors.Join(c.settle(p), liveupdate.TellRoots(c.Orders, p), p.Close())
	}
	all, err := p.Read()
	mirror, err2 := p.Mirror()
	if err = errors.Join(err, err2, p.Close()); err != nil {
		return err
	}
	damaged, err := update.Damaged(c.Folder, all)
	if err != nil {
		return err
	}
	c.show(all, mirror, damaged)
	return nil
}

// settle has the disks of a mirror agree, and deletes what the pool has no need for, if the system that runs has proved
// itself.
func (c *Command) settle(p *pool.Pool) error {
	if err := p.Agree(); err != nil {
		return err
	}
	all, err := p.Read()
	if err != nil {
		return err
	}
	if r, err := all.Root(all.Good); err != nil || !r.Runs || all.Candidate != "" {
		return nil
	}
	w, err := c.Orders.Waiting()
	if err != nil {
		return err
	}
	var waiting []string
	if w != nil && w.Spec.Kind == job.Update {
		waiting = append(waiting, w.Spec.Image.Ref)
	}
	gone, err := update.Clean(p, waiting...)
	for _, what := range gone {
		fmt.Fprintf(c.Out, "%s was deleted: this machine does not need it.\n", what)
	}
	if errors.Is(err, update.ErrBusy) {
		return nil // it cleans up itself
	}
	return err
}

// resets is what a reset does, for people.
var resets = map[job.Reset]string{
	job.ResetSystem: "each start has a fresh system, and keeps /home and /persistent",
	job.ResetHome:   "each start has a fresh system with a fresh /home, and keeps /persistent",
}

func (c *Command) show(all pool.Contents, mirror pool.Mirror, damaged []string) {
	row := func(key, format string, args ...any) {
		fmt.Fprintf(c.Out, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	for _, r := range all.Roots {
		if r.Runs {
			row("runs", "%s", pool.Label(r.Name))
			if r.Reset != "" {
				row("reset", "%s; %d fresh systems are ready", resets[r.Reset], len(all.Waiting()))
			}
		}
	}
	row("next start", "%s", all.NextStarts())
	row("update", "%s", c.present())
	row("agent", "%s", c.Agent)
	row("room", "%s of %s are free", job.Bytes(all.Free), job.Bytes(all.Size))
	if text := mirror.String(); text != "" {
		row("mirror", "%s", text)
	}
	for _, name := range damaged {
		row("damaged", "the image %s; updates do not start from it, and `griddle-agent history` says why",
			pool.Label(name))
	}
	fmt.Fprintf(c.Out, "\n%-40s %-16s %s\n", "ROOT", "MADE (UTC)", "STATE")
	for _, r := range all.Roots {
		fmt.Fprintf(c.Out, "%-40s %-16s %s\n", pool.Label(r.Name), day(r.Created), r.State())
	}
}

// present is what an update does now, or how the last one ended.
func (c *Command) present() string {
	w, err := c.Orders.Waiting()
	if err != nil {
		return err.Error()
	}
	if w != nil {
		ref := job.Printable(w.Spec.Image.Ref)
		p := c.Orders.Progress()
		if w.Spec.Kind != job.Update {
			ref = w.What()
		}
		switch {
		case p == nil || p.Job != w.Spec.ID:
			return fmt.Sprintf("%s is ordered", ref)
		case p.Progress != nil:
			return fmt.Sprintf("%s: %s, %d %%", ref, p.Phase, p.Progress.Percent())
		}
		return fmt.Sprintf("%s: %s", ref, p.Message)
	}
	r := c.Orders.Result()
	switch {
	case r == nil:
		return "none so far"
	case r.State == order.Failed:
		return fmt.Sprintf("the last one, to %s, failed at %s: %s", job.Printable(r.Image), day(r.Time), r.Message)
	}
	return fmt.Sprintf("the last one was to %s, at %s", job.Printable(r.Image), day(r.Time))
}

func day(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("2006-01-02 15:04")
}

const historyHelp = `usage: griddle-agent history

Shows what happened to the systems of this machine, the newest last: which were made, started and found good, which
failed and why, and which images were damaged.

Example: griddle-agent history
`

// history is `griddle-agent history`.
func (c *Command) history(args []string) error {
	l := newLine("history", historyHelp)
	if err := l.read(c.Out, args, 0); err != nil {
		return helped(err)
	}
	all, err := history.Read(c.Folder)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintln(c.Out, "Nothing is recorded so far.")
		return nil
	}
	fmt.Fprintf(c.Out, "%-16s %-12s %-40s %s\n", "TIME (UTC)", "WHAT", "ROOT", "WHY")
	for _, e := range all {
		root := "-"
		switch {
		case e.Root != "":
			root = pool.Label(e.Root)
		case e.Image != "":
			root = pool.Label(e.Image)
		}
		fmt.Fprintf(c.Out, "%-16s %-12s %-40s %s\n", day(e.Time), e.Kind, root, e.Reason)
		for _, line := range e.Lines {
			fmt.Fprintf(c.Out, "  | %s\n", line)
		}
	}
	return nil
}
