// Package upkeep is the commands by which people update an installed machine and go back: `griddle-agent update`,
// `status`, `rollback` and `history`.
//
// Make a Command with what it works on, and call Run. docs/INSTALLED.md describes the commands, and a test runs all
// that it shows.
//
// An update is always a job of the server: the command asks for one, leaves it as an order (package order) and follows
// what the unit does. So it continues if the person goes, and a server, a timer and a person never update the machine
// at the same time.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident/order"
)

// Command is one run of a command.
type Command struct {
	Out io.Writer // what was done
	Err io.Writer // errors and usage

	Orders order.Files
	Folder *os.Root // of the service, for the history of the pool
	Agent  string   // version of this program

	// Pool opens the pool that the system runs from.
	Pool func() (*pool.Pool, error)
	// Ask asks the server for an update.
	Ask func(ctx context.Context, ask job.UpdateAsk) (job.Spec, error)
	// Carry carries out the order that waits.
	Carry func(ctx context.Context) error
	// Installed says whether this system has the units that carry out orders, and SetUp installs them.
	Installed func() bool
	SetUp     func(ctx context.Context) error
	// Restart restarts the machine.
	Restart func(ctx context.Context) error

	Look time.Duration // how often a running update is looked at; 0 means half a second
}

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("usage")

// Names are those of the commands.
var names = []string{"update", "status", "rollback", "history"}

// Has says whether this package has a command.
func Has(name string) bool { return slices.Contains(names, name) }

// Run runs a command, such as "update" "--when" "reboot", and returns the exit code: 0 done, 1 failed, 2 usage.
func (c *Command) Run(ctx context.Context, args []string) int {
	if c.Look == 0 {
		c.Look = time.Second / 2
	}
	var err error
	switch args[0] {
	case "update":
		err = c.update(ctx, args[1:])
	case "status":
		err = c.status(args[1:])
	case "rollback":
		err = c.rollback(ctx, args[1:])
	case "history":
		err = c.history(args[1:])
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(c.Err, err.Error()[len(errUsage.Error())+2:])
		return 2
	}
	fmt.Fprintf(c.Err, "griddle-agent %s: %v\n", args[0], err)
	return 1
}

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}
