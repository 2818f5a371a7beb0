package upkeep

import (
	"context"
	"errors"
	"fmt"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
)

const rollbackHelp = `usage: griddle-agent rollback [ROOT] [--restart]

Has this machine start another of its systems. /home and /persistent are those of all systems. Without ROOT it is the
one that runs, if the next start would take another one, and else the newest other one that was found good.
` + "`griddle-agent status`" + ` lists them.

  --restart   restart the machine now

Example: griddle-agent rollback web-20261120.1@amd64
`

// rollback is `griddle-agent rollback`.
func (c *Command) rollback(ctx context.Context, args []string) error {
	l := newLine("rollback", rollbackHelp)
	restart := l.Bool("restart", false, "")
	if err := l.read(c.Out, args, 1); err != nil {
		return helped(err)
	}
	p, err := c.Pool()
	if err != nil {
		return err
	}
	next, err := c.back(p, l.word)
	if err = errors.Join(err, p.Close()); err != nil {
		return err
	}
	fmt.Fprintln(c.Out, next)
	if *restart {
		fmt.Fprintln(c.Out, "This machine restarts now.")
		return c.Restart(ctx)
	}
	return nil
}

// back has a root boot, and says what starts next.
func (c *Command) back(p *pool.Pool, word string) (string, error) {
	if w, err := c.Orders.Waiting(); err == nil && w != nil {
		return "", fmt.Errorf("%s runs, and would have its own system start next: wait for it, or cancel it on the "+
			"server (griddle machine cancel)", w.What())
	}
	all, err := p.Read()
	if err != nil {
		return "", err
	}
	name := word
	if name == "" {
		if name, err = all.GoesBack(); err != nil {
			return "", err
		}
	}
	r, err := all.Root(name)
	if err != nil {
		return "", err
	}
	if err := p.Boot(r.Name); err != nil {
		return "", err
	}
	if err := c.note(history.RolledBack, r.Name); err != nil {
		return "", err
	}
	all, err = p.Read()
	return all.NextStarts(), err
}
