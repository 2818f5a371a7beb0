package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"griddle/cloud/provider/qemu/qmp"

	"golang.org/x/sys/unix"
)

// File descriptors that a server's process inherits.
const (
	fdAlive = 3 + iota // of the file alive, with a lock on it
	fdQMP              // listens at qmp.sock
	fdTap              // of the tap device, where the network has a bridge
)

const (
	aliveFile  = "alive"
	qmpFile    = "qmp.sock"
	outputFile = "qemu.log"
)

// whole is the lock that a server's process holds on its file alive: one of the open file and not of a process
// (fcntl(2), open file description locks), so that it passes to the child and goes when the last that
// has the file open ends.
func whole() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// alive says whether the process of the server in dir runs.
func alive(dir string) (bool, error) {
	f, err := os.OpenFile(filepath.Join(dir, aliveFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether the server runs: %w", err)
	}
	defer f.Close()
	l := whole()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, l); err != nil {
		return false, fmt.Errorf("looking whether the server runs: %w", err)
	}
	return l.Type != unix.F_UNLCK, nil
}

// errRuns says that a process was not started because one runs.
var errRuns = errors.New("the server runs already")

// spawn starts QEMU in dir, and returns when its monitor answers. The process belongs to nobody then: it has a session
// of its own, and goes on when this program ends.
func spawn(ctx context.Context, dir string, arguments []string, more ...*os.File) error {
	held, err := os.OpenFile(filepath.Join(dir, aliveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer held.Close()
	if err := unix.FcntlFlock(held.Fd(), unix.F_OFD_SETLK, whole()); errors.Is(err, unix.EAGAIN) ||
		errors.Is(err, unix.EACCES) {
		return errRuns
	} else if err != nil {
		return err
	}
	listener, err := listen(dir)
	if err != nil {
		return err
	}
	defer listener.Close()
	output, err := os.OpenFile(filepath.Join(dir, outputFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	// The server outlives ctx.
	cmd := exec.Command(program, arguments...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.ExtraFiles = append([]*os.File{held, listener}, more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	held.Close()
	listener.Close()
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	m, err := dial(ctx, dir)
	if err == nil {
		m.Close()
		return nil
	}
	if ctx.Err() == nil {
		select {
		case <-ended:
			err = errors.New(cmp.Or(lastLine(filepath.Join(dir, outputFile)), "QEMU ended without a word"))
		case <-time.After(time.Second):
		}
	}
	cmd.Process.Kill()
	<-ended
	return err
}

// lastLine is the end of what QEMU said, if it said anything.
func lastLine(file string) string {
	b, _ := readBounded(file, 64<<10)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], program+": ")
}

// within opens a directory, and returns the path of a file in it that fits into a socket's
// address, which has 107 bytes.
func within(dir, file string) (path string, done func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), file), func() { d.Close() }, nil
}

// listen makes the socket that QEMU inherits. It is there before QEMU is, so nobody needs to wait for it to appear.
func listen(dir string) (*os.File, error) {
	if err := os.Remove(filepath.Join(dir, qmpFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	path, done, err := within(dir, qmpFile)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	return l.File()
}

// monitor is a connection to the monitor of a running QEMU.
type monitor struct{ *qmp.Client }

// dial opens the monitor of the server in dir.
func dial(ctx context.Context, dir string) (*monitor, error) {
	path, done, err := within(dir, qmpFile)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("asking QEMU: %w", err)
	}
	c, err := qmp.Open(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &monitor{c}, nil
}

// end takes the power of the server in dir, and returns when its process is gone.
func end(ctx context.Context, dir string) error {
	asked, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	if m, err := dial(asked, dir); err == nil {
		m.Do(asked, "quit", nil)
		m.Close()
		if gone(asked, dir) == nil {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := kill(dir); err != nil {
		return err
	}
	ctx, stop = context.WithTimeout(ctx, qmp.Timeout)
	defer stop()
	return gone(ctx, dir)
}

// gone waits until the server's process has ended.
func gone(ctx context.Context, dir string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		runs, err := alive(dir)
		if err != nil || !runs {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("waiting for QEMU to end: %w", ctx.Err())
		}
	}
}

// kill ends each process that has the server's file alive as descriptor fdAlive. It looks again when it holds on to the
// process: an ID that passed to another one in between has another file there.
func kill(dir string) error {
	want, err := os.Stat(filepath.Join(dir, aliveFile))
	if err != nil {
		return err
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	has := func(pid string) bool {
		i, err := os.Stat(filepath.Join("/proc", pid, "fd", strconv.Itoa(fdAlive)))
		return err == nil && os.SameFile(i, want)
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !has(e.Name()) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it ended by itself
		}
		if has(e.Name()) {
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ending QEMU: %w", err)
		}
	}
	return nil
}
