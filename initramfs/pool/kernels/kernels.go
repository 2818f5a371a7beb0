// Package kernels is the command `griddle-agent kernels` of an installed machine: it copies kernels and initrds beside
// an encrypted pool, for GRUB, after they changed. Hooks of package managers and units of systemd run it (package
// unit).
//
// Make a Command, and call Run. docs/INSTALLED.md says what people see of it.
package kernels

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
)

const help = `usage: griddle-agent kernels [--hook | --removing VERSION]

Copies kernel and initrd of each system on this machine to the partition for kernels. On a machine with an encrypted
pool GRUB reads these copies, because it cannot read the pool. The hooks of package managers run this command after each
upgrade; run it yourself after you made room. On other machines it does nothing.

--hook is for a hook: it fails only where the machine would not start. --removing is the same before a kernel is
removed, such as 6.1.0-50-amd64: another one is copied.

Example: griddle-agent kernels
`

// Command is one run of the command.
type Command struct {
	Out, Err io.Writer
	Pool     func() (*pool.Pool, error) // opens the pool of the system that runs
	Boot     string                     // the folder with its kernels

	// Opens is nil if an initrd, whose path is relative to /, can open the pool.
	Opens func(initrd string) error
}

// Here is the command on the system that runs.
func Here() Command {
	return Command{Out: os.Stdout, Err: os.Stderr, Boot: "/boot", Opens: opens, Pool: func() (*pool.Pool, error) {
		if os.Geteuid() != 0 {
			return nil, errors.New("only root can do this: use sudo")
		}
		place, err := pool.Here()
		if err != nil {
			return nil, err
		}
		return pool.Open(place)
	}}
}

// Run runs the command, and returns its exit code: 0 done, 1 failed, 2 usage. For a hook 0 also means that GRUB starts
// a kernel of before.
func (c Command) Run(args []string) int {
	l, err := read(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(c.Out, help)
		return 0
	case err != nil:
		fmt.Fprint(c.Err, help)
		return 2
	}
	starts, err := c.copy(l.removing)
	switch {
	case err == nil:
		return 0
	case starts && (l.hook || l.removing != ""):
		fmt.Fprintf(c.Err, "griddle-agent kernels: warning: %s\n", l.explained(err, starts))
		return 0
	}
	fmt.Fprintf(c.Err, "griddle-agent kernels: %s\n", l.explained(err, starts))
	return 1
}

// line is a command line.
type line struct {
	hook     bool
	removing string
}

// errUsage means that a command line is not one of help.
var errUsage = errors.New("usage")

// read reads a command line. The error is errUsage or flag.ErrHelp.
func read(args []string) (l line, err error) {
	set := flag.NewFlagSet("kernels", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&l.hook, "hook", false, "")
	set.StringVar(&l.removing, "removing", "", "")
	err = set.Parse(args)
	given := 0
	set.Visit(func(*flag.Flag) { given++ })
	switch {
	case errors.Is(err, flag.ErrHelp):
		return l, err
	case err != nil, set.NArg() > 0, given > 1, given == 1 && !l.hook && l.removing == "":
		return l, errUsage
	}
	return l, nil
}

// explained says what an error means for the machine, and what to do.
func (l line) explained(err error, starts bool) string {
	const again = "Fix this, and run `griddle-agent kernels`"
	switch {
	case starts:
		return fmt.Sprintf("%v\nUntil then this machine starts the kernel of before. %s.", err, again)
	case l.removing != "":
		return fmt.Sprintf("%v\nThe kernel %s is not removed: this machine may not start without it. %s; then remove "+
			"it.", err, job.Printable(l.removing), again)
	}
	return fmt.Sprintf("%v\nTHIS MACHINE MAY NOT START AGAIN. %s before you restart it.", err, again)
}

// copy copies the kernels. It does so again if files in Boot changed meanwhile: a unit that looks at them does not
// start it again while it runs. starts is that of Pool.ChangeKernels; where the pool cannot be opened GRUB has
// the copies of before.
func (c Command) copy(removing string) (starts bool, err error) {
	p, err := c.Pool()
	if err != nil {
		return removing == "", err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	const most = 10
	for range most {
		before := c.files()
		starts, err = p.ChangeKernels(removing, c.Opens)
		if before == c.files() {
			break
		}
	}
	return starts, err
}

// files is another text when a file in Boot is another one.
func (c Command) files() string {
	entries, _ := os.ReadDir(c.Boot)
	var out strings.Builder
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			fmt.Fprintln(&out, e.Name(), st.Size(), st.ModTime().UnixNano())
		}
	}
	return out.String()
}
