package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"griddle/appliance/e2e/machinetest"
)

// process is a program of the room that goes on running.
type process struct {
	Output *machinetest.Transcript // standard output and error together

	name string
	cmd  *exec.Cmd
	done <-chan struct{}
	err  error // of Wait; to be read after done
}

// start runs a program in a namespace of the room, with its output in NAME.log. Close ends it.
func (r *Room) start(name, namespace, program string, args ...string) (*process, error) {
	logfile, err := os.OpenFile(r.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, Output: machinetest.NewTranscript(name)}
	fmt.Fprintf(logfile, "# %s %s\n", program, strings.Join(args, " "))
	// ip-netns execs the program: the process ID stays the same.
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", r.namespace(namespace), program}, args...)...)
	p.cmd.Dir = r.Dir
	out := io.MultiWriter(logfile, p.Output)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.done, err = machinetest.Hold(p.cmd, func(err error) {
		p.err = err
		p.Output.End(fmt.Errorf("%s ended: %v", name, p.cmd.ProcessState))
		logfile.Close()
	})
	if err != nil {
		logfile.Close()
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
	cmd := exec.CommandContext(ctx,
		"ip", append([]string{"netns", "exec", r.namespace(namespace), program}, args...)...)
	cmd.Dir = r.Dir
	return machinetest.Capture(cmd, program, args)
}
