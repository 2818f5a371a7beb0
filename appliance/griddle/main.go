// Command griddle is the provisioning server, the publisher's tool and the operator's command line.
//
// run is the whole program; main gives it the process. Each group of commands is a package with a function Command,
// which takes a cli.Env and returns a cobra.Command; root.go lists them. Package cli has what they share.
//
// Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted by a signal.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
	_ "time/tzdata" // the time zones of machines, on hosts that have none
)

func main() {
	ends := endSignals(os.Args[1:], signal.Ignored(syscall.SIGHUP))
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, func() {
		// A terminal that is closed may send SIGHUP twice, by its shell and by the kernel: the second one must not
		// end the clearing up.
		if slices.Contains(ends, os.Signal(syscall.SIGHUP)) {
			signal.Ignore(syscall.SIGHUP)
		}
		// From the first signal on the default action is back, so that a second one ends what does not end by itself.
		stop()
	})
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// endSignals are those that end a command in good order: what it has made for a while is removed. SIGHUP is one of
// them, which a closed terminal sends, but not where it was ignored from the start (nohup(1)), and not for `griddle
// serve`, to which it means something else.
func endSignals(args []string, hupIgnored bool) []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !hupIgnored && (len(args) == 0 || args[0] != "serve") {
		all = append(all, syscall.SIGHUP)
	}
	return all
}
