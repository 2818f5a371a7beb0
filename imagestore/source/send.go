package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Stream is the output of btrfs send. Read it to its end: that is io.EOF only if the program succeeded, and its error
// otherwise.
type Stream struct {
	cmd       *exec.Cmd
	out       io.ReadCloser
	complaint bytes.Buffer
	ended     error
}

// Changes is what btrfs send writes without data for a copy that is a subvolume, with parent: for each range that
// differs, only its place. A content.Builder makes the copy's manifest from it and the parent's.
func (c *Copy) Changes(ctx context.Context, parent *Copy) (*Stream, error) {
	return c.send(ctx, parent, "--quiet", "--no-data")
}

func (c *Copy) send(ctx context.Context, parent *Copy, flags ...string) (*Stream, error) {
	args := append([]string{"send"}, flags...)
	if parent != nil {
		args = append(args, "-p", parent.Dir)
	}
	s := &Stream{cmd: exec.CommandContext(ctx, "btrfs", append(args, c.Dir)...)}
	s.cmd.Stderr = &s.complaint
	var err error
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("sending %s: %w", c.Dir, err)
	}
	if f, ok := s.out.(*os.File); ok {
		// The kernel fills the pipe while we compress. A smaller one, where this is refused, is only slower.
		if raw, err := f.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
		}
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("sending %s: %w", c.Dir, err)
	}
	return s, nil
}

func (s *Stream) Read(p []byte) (int, error) {
	if s.ended != nil {
		return 0, s.ended
	}
	n, err := s.out.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	s.ended = err
	if werr := s.cmd.Wait(); werr != nil {
		s.ended = fmt.Errorf("sending snapshot: %w", explain(werr, s.complaint.String()))
	}
	return 0, s.ended
}

// Close ends the program if it still runs.
func (s *Stream) Close() error {
	if s.ended == nil {
		s.ended = os.ErrClosed
		s.cmd.Process.Kill() // it may have ended by itself
		s.cmd.Wait()         // it was killed: how it ended tells nothing
	}
	return nil
}
