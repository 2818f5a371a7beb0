// Package console opens the terminals that people may sit at, and prepares them for a screen or for a shell.
//
// Call Paths first and Open for each. Configured, Size and Question say what a terminal can show. LoadKeymap sets the
// keyboard of the virtual terminals. The controls are those of termios(3), ioctl_tty(2) and the kernel's keyboard
// tables (include/uapi/linux/kd.h).
package console

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// shellPath is the rescue shell of the boot image.
const shellPath = "/bin/bash"

// Paths lists the terminals that a person may sit at: the first virtual one, and every serial one that the
// kernel is configured to use. The kernel lists tty0, which is whichever virtual terminal is in front.
func Paths() []string {
	b, _ := os.ReadFile("/sys/class/tty/console/active")
	return consoles(string(b))
}

func consoles(active string) []string {
	out := []string{}
	for _, name := range strings.Fields(active) {
		if name == "tty0" {
			name = "tty1"
		}
		if path := "/dev/" + name; !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	if len(out) == 0 {
		out = append(out, "/dev/tty1")
	}
	return out
}

// Open opens the terminal at path for reading and writing, with flags such as unix.O_NONBLOCK. It never becomes the
// controlling terminal. A line without a size gets 24 rows of 80 columns.
func Open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|flags, 0)
	if err != nil {
		return nil, err
	}
	// A serial line knows no size, and programs that ask draw nothing.
	control(f, func(fd int) {
		if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && size.Row == 0 {
			_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: Rows, Col: Columns})
		}
	})
	return f, nil
}

// control calls do with the descriptor of f. Unlike f.Fd it leaves f non-blocking, so that deadlines go on working.
func control(f *os.File, do func(fd int)) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// Reset puts a terminal into the state that a shell expects, whatever was done to it before.
func Reset(f *os.File) {
	control(f, func(fd int) {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return
		}
		t.Iflag |= unix.ICRNL | unix.IXON | unix.IUTF8
		t.Oflag |= unix.OPOST | unix.ONLCR
		t.Lflag |= unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL |
			unix.ECHOKE | unix.IEXTEN
		t.Cc[unix.VINTR], t.Cc[unix.VEOF], t.Cc[unix.VERASE], t.Cc[unix.VSUSP] = 3, 4, 0x7f, 0x1a
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	})
}

// Raw puts a terminal into the state that a screen needs: every key at once, no echo, no signals (cfmakeraw(3)).
func Raw(f *os.File) { control(f, func(fd int) { _, _ = term.MakeRaw(fd) }) }

// Term is the value of TERM for the terminal at path: the kernel's own on a virtual one, and otherwise what the
// kernel's command line says, or what emulators at the other end of a line understand.
func Term(path string) string {
	if Virtual(path) {
		return "linux"
	}
	if term, _ := Configured(); term != "" {
		return term
	}
	return "vt220"
}

// Shell is the rescue shell as leader of its own session on the terminal, so that Ctrl-C reaches what it runs.
func Shell(tty *os.File, path string) *exec.Cmd {
	cmd := exec.Command(shellPath, "--noprofile", "--norc", "-i")
	cmd.Dir = "/root"
	// Tools may come while it runs (package toolbox): it must not remember where it found others of their names.
	cmd.Env = append(os.Environ(), "TERM="+Term(path), "SHELL="+shellPath, `PS1=griddle:\w# `,
		"PROMPT_COMMAND=hash -r", "LANG=C.UTF-8", "EDITOR=vi")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	return cmd
}

// Typed waits until someone has typed a line at a terminal, or until the time is over, and says whether there is a
// line. It takes nothing of it.
func Typed(tty *os.File, limit time.Duration) bool {
	typed := false
	control(tty, func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(limit.Milliseconds()))
		typed = err == nil && n > 0
	})
	return typed
}
