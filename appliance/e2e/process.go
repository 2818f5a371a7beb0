package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// process is a program of the room that goes on running.
type process struct {
	Output *Transcript // standard output and error together

	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; to be read after done
}

// start runs a program in a namespace of the room, with its output in NAME.log. Close ends it.
func (r *Room) start(name, namespace, program string, args ...string) (*process, error) {
	logfile, err := os.OpenFile(r.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, Output: newTranscript(name), done: make(chan struct{})}
	fmt.Fprintf(logfile, "# %s %s\n", program, strings.Join(args, " "))
	// ip-netns execs the program: the process ID stays the same.
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", r.namespace(namespace), program}, args...)...)
	p.cmd.Dir = r.Dir
	out := io.MultiWriter(logfile, p.Output)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the process, so the thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer logfile.Close()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			p.Output.end(fmt.Errorf("%s ended: %v", name, p.cmd.ProcessState))
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	r.onClose(func() error { p.Kill(); return nil })
	return p, nil
}

// Kill ends the process at once, as a power cut would.
func (p *process) Kill() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Stop asks the process to end and waits until it has, or until ctx ends.
func (p *process) Stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("stopping %s: it ignores the signal: %w", p.name, ctx.Err())
	}
}

// run runs a program in a namespace of the room to its end and returns its standard output; its error holds what
// it said on standard error.
func (r *Room) run(ctx context.Context, namespace, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", r.namespace(namespace), program}, args...)...)
	cmd.Dir = r.Dir
	return capture(cmd, program, args)
}

// output runs a program of the host to its end.
func output(ctx context.Context, program string, args ...string) error {
	_, err := capture(exec.CommandContext(ctx, program, args...), program, args)
	return err
}

func capture(cmd *exec.Cmd, program string, args []string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("running %s: it is missing; run make deps", program)
	case err != nil:
		return stdout.String(), fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
