// Package care is the commands `griddle-agent maintain` and `griddle-agent recover`: what people change on an installed
// machine, and what they repair.
//
// Make a Command with what it works on, and call Run. Here is the Command of the system that runs. docs/MAINTENANCE.md
// describes the commands, and a test runs all that it shows.
//
// What deletes shows first what is lost, and then asks for the name of what it deletes. Passwords are asked for without
// showing them, or read from a file, and are never arguments.
package care

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/maintain"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Command is one run of a command.
type Command struct {
	In  io.Reader // answers of a person
	Out io.Writer // what was done, and questions
	Err io.Writer // errors and usage

	// Secret asks a person for a text without showing it; nil if there is no terminal.
	Secret func(question string) (string, error)

	// Pool opens the pool on a disk; "" is the disk that the system runs from.
	Pool func(disk string) (*pool.Pool, error)

	// Machine is the system that maintain changes. It is called after Pool, which it gets.
	Machine func(p *pool.Pool) (maintain.Machine, func() error, error)

	// Firmware opens the variables of UEFI; without UEFI it is nvram.ErrNone. UUID is that of the machine, "" if its
	// firmware does not say it.
	Firmware func() (*nvram.Vars, error)
	UUID     string

	// Tables are folders with files of partition tables (job.SavedTable), table-N.json; one may be missing.
	Tables []string

	// Shell starts a shell in a root of a pool, and returns when it has ended.
	Shell func(ctx context.Context, s *pool.System) error

	// Menu opens the menu on a terminal: what is "maintain" or "recover". nil if there is no terminal.
	Menu func(ctx context.Context, what string) error
}

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("usage")

// Here is the command on the system that runs.
func Here() *Command {
	c := &Command{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Pool: openPool, Machine: thisMachine, Shell: shell,
		Firmware: nvram.Open}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		c.Secret = func(question string) (string, error) {
			fmt.Fprint(os.Stdout, question)
			b, err := term.ReadPassword(int(os.Stdin.Fd()))
			fmt.Fprintln(os.Stdout)
			return string(b), err
		}
	}
	return c
}

// Run runs a command, such as "maintain" "hostname" "lab-07", and returns the exit code: 0 done, 1 failed, 2 usage.
func (c *Command) Run(ctx context.Context, args []string) int {
	var err error
	switch args[0] {
	case "maintain":
		err = c.maintain(ctx, args[1:])
	case "recover":
		err = c.recover(ctx, args[1:])
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage), errors.Is(err, maintain.ErrUsage):
		fmt.Fprintln(c.Err, strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return 2
	}
	fmt.Fprintf(c.Err, "griddle-agent %s: %v\n", args[0], err)
	return 1
}

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// openPool opens a pool as root.
func openPool(disk string) (*pool.Pool, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can do this: use sudo")
	}
	place, err := pool.Here()
	if disk != "" {
		place, err = pool.On(disk)
	}
	if err != nil {
		return nil, err
	}
	return pool.Open(place)
}

// thisMachine is the system that runs.
func thisMachine(p *pool.Pool) (maintain.Machine, func() error, error) {
	root, err := os.OpenRoot("/")
	if err != nil {
		return maintain.Machine{}, nil, err
	}
	return maintain.Machine{Root: root, Running: true, Run: runHere,
		SetHostname: func(name string) error { return unix.Sethostname([]byte(name)) },
		Bootloader:  func() error { return InstallBootloader(p, os.DirFS(bootloader.Images)) }}, root.Close, nil
}

// InstallBootloader installs GRUB on the disk of a pool again, from the files of bootloader.BuildGRUB.
func InstallBootloader(p *pool.Pool, images fs.FS) error {
	if _, err := fs.Stat(images, bootloader.CoreImage); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: start this machine from the network, and use Maintenance on its screen",
			bootloader.Images)
	}
	_, err := os.Stat("/sys/firmware/efi")
	return p.Bootloader(images, errors.Is(err, fs.ErrNotExist))
}

// runHere runs a program of this system.
func runHere(ctx context.Context, p maintain.Program) error {
	const path = "/usr/sbin:/usr/bin:/sbin:/bin"
	name := p.Name // as a path: sshd does not start by its name alone, and the PATH of a user may have no sbin
	for dir := range strings.SplitSeq(path, ":") {
		if st, err := os.Stat(dir + "/" + p.Name); err == nil && st.Mode().IsRegular() {
			name = dir + "/" + p.Name
			break
		}
	}
	cmd := exec.CommandContext(ctx, name, p.Args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PATH="+path)
	cmd.Stdin = strings.NewReader(p.Input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s: %w: %s", p.Name, err, last(string(out)))
	}
	return nil
}

// last is the end of an output, for an error.
func last(out string) string {
	out = strings.TrimSpace(out)
	if len(out) > 400 {
		out = ".." + out[len(out)-400:]
	}
	return strings.ToValidUTF8(out, "?")
}
