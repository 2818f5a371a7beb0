package care

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
)

// formerLoader is `griddle-agent recover former-loader`.
func (c *Command) formerLoader(_ context.Context, p *pool.Pool, _ string, yes bool) error {
	vars, err := c.Firmware()
	if err != nil && !errors.Is(err, nvram.ErrNone) {
		return err
	}
	asked := false
	done, err := p.GiveBack(pool.Firmware{Vars: vars, UUID: c.UUID}, func(change *former.Change) error {
		asked = true
		fmt.Fprintln(c.Out, "The machine gets back what it started by before Griddle. THIS CHANGES:")
		lines(c.Out, change.Will)
		if len(change.Stays) > 0 {
			fmt.Fprintln(c.Out, "This stays as it is now:")
			lines(c.Out, change.Stays)
		}
		fmt.Fprintf(c.Out, "The pool on %s stays with all its data, but its systems DO NOT START any more. An "+
			"install\nby a layout that keeps the pool (keep-pool) brings them back.\n", p.Disk())
		return c.typed("To do it, type the name of the disk", p.Disk(), yes)
	})
	if err != nil {
		if len(done) > 0 {
			fmt.Fprintln(c.Out, "Done so far: "+strings.Join(done, ", "))
		}
		return err
	}
	if !asked {
		fmt.Fprintln(c.Out, "Nothing to do: the machine starts by what it had before Griddle already.")
		return nil
	}
	fmt.Fprintln(c.Out, "The machine starts by what it had before Griddle, from the next start on.")
	return nil
}

// typed asks a person to type a word. Without that, nothing is done.
func (c *Command) typed(question, word string, yes bool) error {
	if yes {
		return nil
	}
	fmt.Fprintf(c.Out, "%s (%s): ", question, pool.Label(word))
	line, err := bufio.NewReader(io.LimitReader(c.In, 4096)).ReadString('\n')
	if err != nil && line == "" {
		fmt.Fprintln(c.Out)
		return errors.New("no name was typed: nothing was changed; --yes does it without asking")
	}
	if strings.TrimSpace(line) != pool.Label(word) {
		return errors.New("that is not its name: nothing was changed")
	}
	return nil
}

func lines(w io.Writer, all []string) {
	for _, l := range all {
		fmt.Fprintln(w, "  "+l)
	}
}
