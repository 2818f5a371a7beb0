// Command griddle is the provisioning server, the publisher's tool and the operator's command line.
//
// run is the whole program; main gives it the process. A command is a plain function in the file of its group
// that takes an env and returns a cobra.Command, and it is listed in root.go.
//
// Exit codes: 0 done, 1 failed, 2 the command line was wrong.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on the default action is back, so that a second one ends what does not end by itself.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
