package resize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ask runs a program that writes nothing to a disk. It returns what the program printed, and its exit status.
func ask(ctx context.Context, name string, args ...string) (string, int, error) {
	out, err := finish(exec.CommandContext(ctx, name, args...))
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() && ctx.Err() == nil {
		return out, exit.ExitCode(), nil
	}
	return out, 0, err
}

// maxOutput is how much of what a program prints is kept, in bytes.
const maxOutput = 64 << 10

// finish runs a program to its end. Its output is English.
func finish(cmd *exec.Cmd) (string, error) {
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, brief(out.String()))
	}
	return out.String(), nil
}

// tail keeps the end of what a program prints.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - maxOutput; over > 0 {
		t.Next(over)
	}
	return n, err
}

// brief is the last line of what a program printed, as printable text.
func brief(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return ' '
		}
		return c
	}, lines[len(lines)-1]))
}
