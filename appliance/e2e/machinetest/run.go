// Package machinetest is what the tests that run machines have in common: programs that end with the test, what they
// and consoles write, the mirror of Debian's packages, and a cache for what takes long to make.
//
// Call Run for a program that ends by itself, Hold for one that continues, and NewTranscript to
// wait for lines of either.
package machinetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Run runs a program until it ends and returns its standard output. The error has the end of what it
// wrote to standard error.
func Run(ctx context.Context, program string, args ...string) (string, error) {
	return Capture(exec.CommandContext(ctx, program, args...), program, args)
}

// Capture is Run for a command that is prepared; the error names program and args.
func Capture(cmd *exec.Cmd, program string, args []string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // see Hold
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("running %s: it is missing; run make deps", program)
	case err != nil:
		said := strings.TrimSpace(stderr.String())
		return stdout.String(), fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err,
			said[max(0, len(said)-2000):])
	}
	return stdout.String(), nil
}

// Hold starts a program that ends with this one at the latest. When it has ended, ended is called with the result of
// cmd.Wait, and then done is closed. ended may be nil.
func Hold(cmd *exec.Cmd, ended func(error)) (done <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	over, started := make(chan struct{}), make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the process, so the thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
			if ended != nil {
				ended(err)
			}
			close(over)
		}
	}()
	return over, <-started
}
