package source

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"griddle/imagestore/delta"

	"golang.org/x/sys/unix"
)

// Stream is the output of btrfs send, or what stands in for it where a copy is no subvolume. Read it to its end: the end is
// io.EOF only where the program succeeded, and otherwise the error that it gave.
type Stream struct {
	cmd       *exec.Cmd // nil for a plain copy
	out       io.ReadCloser
	complaint bytes.Buffer
	ended     error
}

// Send begins to send the copy: whole, or what is different in it from parent where that is not nil. The stream has
// version 1 of the format, which every btrfs receive takes. A plain copy can be sent whole only: its deltas are package
// delta's to make.
func (c *Copy) Send(ctx context.Context, parent *Copy) (*Stream, error) {
	if !c.Snapshot {
		if parent != nil {
			return nil, fmt.Errorf("sending %s: %w: it is no subvolume, of which alone btrfs makes deltas", c.Dir, ErrUnsuitable)
		}
		r, w := io.Pipe()
		go func() {
			out := bufio.NewWriterSize(w, 256<<10)
			_, err := delta.WriteFull(ctx, out, c.Dir, c.UUID, c.Ctransid, delta.Options{Name: c.Name})
			if err == nil {
				err = out.Flush()
			}
			w.CloseWithError(err)
		}()
		return &Stream{out: r}, nil
	}
	return c.send(ctx, parent, "--quiet")
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
	if s.ended = err; s.cmd == nil {
		return 0, err
	}
	if werr := s.cmd.Wait(); werr != nil {
		s.ended = fmt.Errorf("sending snapshot: %w", explain(werr, s.complaint.String()))
	}
	return 0, s.ended
}

// Close ends the program if it still runs.
func (s *Stream) Close() error {
	if s.ended == nil {
		s.ended = os.ErrClosed
		if s.cmd == nil {
			return s.out.Close()
		}
		s.cmd.Process.Kill() // it may have ended by itself
		s.cmd.Wait()         // it was killed: how it ended tells nothing
	}
	return nil
}

// Changes is the stream of Send without the content of files: of each range that differs it has only the place. A
// content.Builder makes the copy's manifest of it and the parent's.
func (c *Copy) Changes(ctx context.Context, parent *Copy) (*Stream, error) {
	return c.send(ctx, parent, "--quiet", "--no-data")
}
