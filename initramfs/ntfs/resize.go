package ntfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"griddle/initramfs/ntfs/trace"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// resize resizes the volume on dev to a partition of to bytes.
func resize(dev *os.File, to int64, progress func(Progress)) error {
	b := barrier{sync: func() error { return unix.Fdatasync(int(dev.Fd())) }}
	return run(dev, to, progress, b.before)
}

// run runs ntfsresize to its end, and calls before with each of its system calls. It prints to a terminal, because into
// a pipe it prints its progress only when it has ended.
func run(dev *os.File, to int64, progress func(Progress), before func(trace.Call) error) error {
	screen, terminal, err := pty.Open()
	if err != nil {
		return fmt.Errorf("making a terminal for ntfsresize: %w", err)
	}
	defer screen.Close()
	// It counts how often it is given: once for a volume that is marked for a check, as after an interruption,
	// and once so that it does not ask.
	cmd := exec.Command(ResizePath, "--force", "--force", "--size", strconv.FormatInt(to, 10), dev.Name())
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(), terminal, terminal
	cmd.ExtraFiles = []*os.File{dev} // see claim
	s := &scroll{report: progress, kept: output{left: maxOutput}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(s, screen) // it ends with EIO when the last writer has closed the terminal
	}()
	status, err := trace.Run(cmd, before)
	terminal.Close()
	<-read
	if err == nil {
		err = dev.Sync()
	}
	if err != nil {
		return fmt.Errorf("running ntfsresize: %w", err)
	}
	r, err := parse(s.kept.Bytes())
	switch {
	case err != nil:
		return fmt.Errorf("reading the output of ntfsresize: %w", err)
	case status.Exited() && status.ExitStatus() == 0 && s.done:
		return nil
	case r.failure != "":
		return fmt.Errorf("running ntfsresize: %s", r.failure)
	case status.Signaled():
		return fmt.Errorf("running ntfsresize: it ended by the signal %s", status.Signal())
	}
	return errors.New("running ntfsresize: it does not say that it succeeded")
}

// barrier orders what ntfsresize writes, so that a power cut leaves no more than a kill would. ntfsresize copies
// clusters with write(2) and then writes the record that names the copies with pwrite(2), and waits for the disk only
// at the end: a cut could leave the record and not the copies. So before a record, and before the boot sector, all that
// was copied has to be on the disk.
type barrier struct {
	sync    func() error
	pending bool   // something was copied since the last wait
	at      uint64 // where the next write(2) goes
}

func (b *barrier) before(c trace.Call) error {
	const printed = 2
	switch c.Number {
	case unix.SYS_LSEEK:
		if c.Args[0] > printed && c.Args[2] == io.SeekStart {
			b.at = c.Args[1]
		}
	case unix.SYS_WRITE:
		if c.Args[0] <= printed {
			return nil
		}
		if b.at == 0 { // the boot sector
			if err := b.wait(); err != nil {
				return err
			}
		}
		b.pending = true
		b.at += c.Args[2]
	case unix.SYS_PWRITE64:
		return b.wait()
	}
	return nil
}

func (b *barrier) wait() error {
	if !b.pending {
		return nil
	}
	b.pending = false
	if err := b.sync(); err != nil {
		return fmt.Errorf("waiting for the disk: %w", err)
	}
	return nil
}

// phase is the phase that a line of ntfsresize begins, or "".
func phase(line string) string {
	switch line {
	case "Checking filesystem consistency ...":
		return "checking the volume"
	case "Relocating needed data ...":
		return "moving data"
	case "Syncing device ...":
		return "writing"
	}
	return ""
}

// scroll reads what ntfsresize prints to a terminal: lines, and in some of them percentages that replace one another.
type scroll struct {
	report func(Progress)
	phase  string
	line   []byte
	kept   output
	done   bool
}

// maxLine is how much of a line is looked at.
const maxLine = 512

func (s *scroll) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' && c != '\r' {
			if len(s.line) < maxLine {
				s.line = append(s.line, c)
			}
			continue
		}
		s.end()
		s.line = s.line[:0]
	}
	return len(p), nil
}

// end looks at a line that is complete.
func (s *scroll) end() {
	if percent, ok := percentage(s.line); ok {
		s.say(percent)
		return
	}
	if len(s.line) == 0 {
		return
	}
	line := string(s.line)
	if next := phase(line); next != "" {
		s.phase = next
		s.say(0)
	}
	s.done = s.done || strings.HasPrefix(line, textDone)
	_, _ = s.kept.Write(append(s.line, '\n'))
}

func (s *scroll) say(percent float64) {
	if s.report != nil && s.phase != "" {
		s.report(Progress{Phase: s.phase, Percent: percent})
	}
}

// percentage reads " 12.34 percent completed".
func percentage(line []byte) (float64, bool) {
	number, found := bytes.CutSuffix(bytes.TrimSpace(line), []byte(" percent completed"))
	if !found || len(number) > 6 {
		return 0, false
	}
	percent, err := strconv.ParseFloat(string(number), 64)
	return percent, err == nil && percent >= 0 && percent <= 100
}
