package encoding

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryFile is a file in memory (memfd_create(2)). A program that reads and writes such files works at its own pace,
// while each pipe would have a goroutine of ours feed it by 64 KiB.
type memoryFile struct {
	file *os.File
	b    []byte // the file's bytes, as long as somebody holds the memoryFile
}

// newMemoryFile makes a file of size bytes; with zero, one without b.
func newMemoryFile(size int) (*memoryFile, error) {
	fd, err := unix.MemfdCreate("griddle-frame", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	m := &memoryFile{file: os.NewFile(uintptr(fd), "griddle-frame")}
	if size == 0 {
		return m, nil
	}
	if err := m.file.Truncate(int64(size)); err != nil {
		return nil, err
	}
	if m.b, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	// Who reads raw bytes may outlive the encoding that failed, so nobody else knows when the memory can go.
	runtime.AddCleanup(m, func(b []byte) { unix.Munmap(b) }, m.b)
	return m, nil
}

// longLevel is the highest level at which matches are not looked for over the whole frame: it would take longer than
// the compression does.
const longLevel = 9

// writePrefix puts the dictionary where the program reads it.
func (s *slot) writePrefix() (err error) {
	if s.prefix == nil {
		if s.prefix, err = newMemoryFile(0); err != nil {
			return err
		}
	}
	if err := s.prefix.file.Truncate(int64(len(s.dict))); err != nil {
		return err
	}
	_, err = s.prefix.file.WriteAt(s.dict, 0)
	return err
}

// runProgram has the zstd program make one frame of the first n bytes of the slot, with one thread, since there is a
// process for each worker.
func (e Encoder) runProgram(ctx context.Context, s *slot, n int) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("compressing with %s: %w", e.Program, err) }
	// The last frame is a short one, and no other comes into this slot behind it.
	if n < len(s.raw) {
		if err := s.in.file.Truncate(int64(n)); err != nil {
			return fail(err)
		}
	}
	for _, m := range []*memoryFile{s.in, s.to} {
		if _, err := m.file.Seek(0, io.SeekStart); err != nil {
			return fail(err)
		}
	}
	// An older frame lies where this one goes: a hole left in it would show that.
	args := []string{e.Program}
	if e.Nice > 0 {
		args = []string{"nice", "-n", strconv.Itoa(e.Nice), e.Program}
	}
	args = append(args, "-q", "-c", "--no-sparse", "--single-thread", "--no-check",
		"--stream-size="+strconv.Itoa(n), "-"+strconv.Itoa(e.Level))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if e.Level > longLevel {
		cmd.Args = append(cmd.Args, "--long=27")
	}
	if len(s.dict) > 0 {
		if err := s.writePrefix(); err != nil {
			return fail(err)
		}
		cmd.ExtraFiles = []*os.File{s.prefix.file}
		cmd.Args = append(cmd.Args, "--patch-from=/proc/self/fd/3")
	}
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.in.file, s.to.file, &complaint
	if err := cmd.Run(); err != nil {
		return fail(fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String())))
	}
	// The program's descriptor and ours share the place in the file, so it is where the frame ends.
	end, err := s.to.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return fail(err)
	}
	if end > int64(cap(s.out)) {
		return fail(fmt.Errorf("%d bytes became %d", n, end))
	}
	if _, err := s.to.file.ReadAt(s.out[:end], 0); err != nil {
		return fail(err)
	}
	return s.out[:end], nil
}
