// Together runs commands at the same time and shows the output of all, each line behind the name of its command.
//
//	together lint='make lint' packages='go test ./...' room='go test -v ./room'
//
// All commands run to their end, also when one fails; then it names the failed tests of each again, and a last line for
// each says how it ended and how long it took. The exit code is 0 if all succeeded, 1 if one failed, 2 for a wrong
// call.
//
// Each command is a script for bash and has its own process group. SIGINT, SIGTERM and SIGHUP end all groups: SIGINT
// first, as from a keyboard, and SIGKILL ten seconds later. So nothing keeps running after Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, 10*time.Second, os.Args[1:], os.Stdout))
}

// run starts one command for each NAME=SCRIPT and returns the exit code. When ctx ends, grace is the time
// between SIGINT and SIGKILL.
func run(ctx context.Context, grace time.Duration, args []string, out io.Writer) int {
	var all []*command
	wide := 0
	for _, arg := range args {
		name, script, ok := strings.Cut(arg, "=")
		if !ok || name == "" || script == "" {
			fmt.Fprintf(out, "together: %q is not NAME=SCRIPT\n", arg)
			return 2
		}
		all = append(all, &command{name: name, script: script})
		wide = max(wide, len(name))
	}
	if len(all) == 0 {
		fmt.Fprintln(out, "usage: together NAME=SCRIPT...")
		return 2
	}
	var (
		wg    sync.WaitGroup
		lines sync.Mutex // one line at a time
	)
	for _, c := range all {
		wg.Go(func() {
			p := &prefixed{prefix: fmt.Sprintf("%-*s | ", wide, c.name), mu: &lines, out: out}
			c.run(ctx, grace, io.MultiWriter(p, &c.failures))
			p.flush()
		})
	}
	wg.Wait()
	code := 0
	for _, c := range all {
		if c.err == nil {
			continue
		}
		for _, line := range c.failures.lines {
			fmt.Fprintf(out, "%-*s ! %s\n", wide, c.name, line)
		}
	}
	for _, c := range all {
		how := "ok"
		if c.err != nil {
			how, code = "FAIL: "+c.err.Error(), 1
		}
		fmt.Fprintf(out, "%-*s : %s, %s\n", wide, c.name, c.took.Round(time.Second), how)
	}
	return code
}

// command is one of the commands; err and took are set at its end.
type command struct {
	name, script string
	err          error
	took         time.Duration
	failures     failures
}

// run returns when no process of the command's group is left. Processes that made a group of their own are not
// waited for.
func (c *command) run(ctx context.Context, grace time.Duration, out io.Writer) {
	began := time.Now()
	defer func() { c.took = time.Since(began) }()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", c.script)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.err = cmd.Start(); c.err != nil {
		return
	}
	cmd.WaitDelay = time.Minute // a process of another group may still have the pipe
	group := -cmd.Process.Pid
	ended := make(chan struct{})
	var stopping sync.WaitGroup
	stopping.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		_ = syscall.Kill(group, syscall.SIGINT)
		for end := time.Now().Add(grace); time.Now().Before(end) && alive(group); {
			time.Sleep(20 * time.Millisecond)
		}
		_ = syscall.Kill(group, syscall.SIGKILL)
	})
	c.err = cmd.Wait()
	close(ended)
	stopping.Wait()
	if ctx.Err() != nil {
		c.err = errors.New("interrupted")
	}
}

// alive reports whether a process group has processes.
func alive(group int) bool { return !errors.Is(syscall.Kill(group, 0), syscall.ESRCH) }
