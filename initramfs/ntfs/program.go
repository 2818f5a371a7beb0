package ntfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// The programs of Debian's ntfs-3g that this package runs.
const (
	ProbePath  = "/usr/bin/ntfs-3g.probe"
	ResizePath = "/usr/sbin/ntfsresize"
)

// The limits of a program that only looks. ntfsresize reads all of $MFT, which may be gigabytes in many parts.
const (
	maxTime   = 30 * time.Minute
	maxOutput = 64 << 10
)

// environment of all programs: their output is English, and depends on nothing of the caller.
func environment() []string { return []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"} }

// output keeps the beginning of what a program prints.
type output struct {
	bytes.Buffer
	left int
}

func (o *output) Write(p []byte) (int, error) {
	n := min(len(p), o.left)
	o.left -= n
	o.Buffer.Write(p[:n])
	return len(p), nil
}

// resizeInfo runs ntfsresize so that it only reads, and returns what it prints and whether it succeeded.
func resizeInfo(ctx context.Context, args ...string) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, ResizePath, append([]string{"--no-progress-bar"}, args...)...)
	cmd.Env, cmd.WaitDelay = environment(), time.Second
	out := &output{left: maxOutput}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return report{}, fmt.Errorf("running ntfsresize: %w", ctx.Err())
	case err != nil && !errors.As(err, &exit):
		return report{}, fmt.Errorf("running ntfsresize: %w", err)
	case err != nil && !exit.Exited():
		return report{}, fmt.Errorf("running ntfsresize: it ended by a signal: %w", err)
	}
	r, bad := parse(out.Bytes())
	if bad != nil {
		return report{}, fmt.Errorf("reading the output of ntfsresize: %w", bad)
	}
	if err != nil && r.failure == "" {
		return report{}, fmt.Errorf("running ntfsresize: it failed and did not say why: %w", err)
	}
	if err == nil && r.failure != "" {
		return report{}, fmt.Errorf("reading the output of ntfsresize: it succeeded and says %q", r.failure)
	}
	return r, nil
}

// The answers of ntfs-3g.probe, man ntfs-3g.probe.
const (
	probeFit        = 0
	probeNotNTFS    = 12
	probeDamaged    = 13
	probeHibernated = 14
	probeUnclean    = 15
	probeInUse      = 16
)

// probe asks ntfs-3g.probe whether a volume may be written to. To answer that it opens the volume for writing, and for
// some folders it would repair what it finds; it is killed before it writes.
func probe(ctx context.Context, device string) (int, error) {
	cmd := exec.Command(ProbePath, "--readwrite", device)
	cmd.Env = environment()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	status, err := trace.Run(cmd, func(c trace.Call) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return onlyReads(c)
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("running ntfs-3g.probe: %w", err)
	case !status.Exited():
		return 0, fmt.Errorf("running ntfs-3g.probe: it ended by the signal %s", status.Signal())
	}
	return status.ExitStatus(), nil
}

// errWrites is the end of a program that has only to look.
var errWrites = errors.New("it was about to change the volume")

// onlyReads fails for what changes a file that the program opened; it may print.
func onlyReads(c trace.Call) error {
	const printed = 2
	switch c.Number {
	case unix.SYS_WRITE, unix.SYS_WRITEV:
		if c.Args[0] <= printed {
			return nil
		}
	case unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_FALLOCATE, unix.SYS_FTRUNCATE:
	default:
		return nil
	}
	return errWrites
}
