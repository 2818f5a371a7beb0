package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// env is what a command has of the world around it.
type env struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
}

// usageError is an error in how the program was called; it gives exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usage makes err an error in how the program was called.
func usage(err error) error { return usageError{err} }

// usagef makes a new error in how the program was called.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hintError is an error with what a person should do next.
type hintError struct {
	error
	hint string
}

func (e hintError) Unwrap() error { return e.error }

// hintOf is what a person should do about err; empty where no one said that.
func hintOf(err error) string {
	var hint hintError
	errors.As(err, &hint)
	return hint.hint
}

// withHint adds to err, unless it is nil, a line that says what to do next.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hintError{err, fmt.Sprintf(format, args...)}
}

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv}
	root := rootCommand(e)
	root.SetArgs(args)
	return e.exit(root.ExecuteContext(ctx))
}

// exit writes err for a person and turns it into an exit code.
func (e *env) exit(err error) int {
	if err == nil {
		return exitDone
	}
	var code exitError
	if errors.As(err, &code) {
		return int(code)
	}
	err = explainStore(explainCatalog(err))
	fmt.Fprintf(e.stderr, "griddle: %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(e.stderr, "  %s\n", hint)
	}
	var called usageError
	if errors.As(err, &called) {
		return exitUsage
	}
	return exitFailed
}

// rootCommand lists the command groups.
func rootCommand(e *env) *cobra.Command {
	root := group("griddle", "Turn bare metal into working machines",
		"Griddle answers machines that boot from the network, installs signed images onto their disks, and\n"+
			"publishes images from LXC containers and btrfs subvolumes.\n\n"+
			"Start with `griddle serve --interface IFACE` on the provisioning network.",
		serveCommand(e),
		configCommand(e),
		machineCommand(e),
		multicastCommand(e),
		cloudCommand(e),
		publishCommand(e),
		imageCommand(e),
		keyCommand(e),
		catalogCommand(e),
		storeCommand(e),
		benchCommand(e),
	)
	root.Version = version()
	root.SetVersionTemplate("griddle {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return withHint(usage(err), "See `%s --help`.", c.CommandPath())
	})
	markUsage(root)
	return root
}

// group makes a command that only holds others.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, SuggestionsMinimumDistance: 2}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return withHint(err, "Did you mean `%s %s`?", c.CommandPath(), near[0])
		}
		return withHint(err, "See `%s --help`.", c.CommandPath())
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(commands...)
	return c
}

// markUsage makes every error about arguments, below c too, a usageError.
func markUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				return nil
			}
			if hintOf(err) != "" {
				return usage(err)
			}
			return withHint(usage(err), "Usage: %s", c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}
