package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"griddle/initramfs/console"
	"griddle/initramfs/supervise"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"
)

// greeting is what a person needs to know to repair an installed system.
const greeting = "This is a shell. \"exit\" returns to the screen. The log is " + supervise.LogFile + ".\n" +
	"\"lsblk -f\" lists the disks; without it, \"blkid\" does. To repair an installed system:\n" +
	"  mount -t btrfs /dev/DISK3 /mnt; ls /mnt/@roots; cd /mnt/@roots/NAME\n" +
	"  mount -t devtmpfs dev dev; mount -t proc proc proc; mount -t sysfs sys sys\n" +
	"  chroot . /bin/bash\n" +
	"  exit; umount dev proc sys, one by one; cd /; umount /mnt; shutdown -r now"

// lend gives the console that the last key came from to use, with a greeting on it, and takes it back afterwards. The
// other consoles stay as they are. If a shell has the console, use is not called.
func (s *screen) lend(greeting string, use func(tty *os.File, path string) error) error {
	s.mu.Lock()
	t := s.last
	s.mu.Unlock()
	if t == nil {
		return errors.New("there is no console for a shell")
	}
	t.mu.Lock()
	if t.away {
		t.mu.Unlock()
		return nil
	}
	t.away, t.back = true, make(chan struct{})
	t.mu.Unlock()
	_ = t.tty().SetReadDeadline(time.Unix(1, 0))
	tty, err := console.Open(t.path, 0)
	if err == nil {
		console.Reset(tty)
		lines := strings.ReplaceAll("\n"+strings.TrimSpace(greeting)+"\n\n", "\n", "\r\n")
		_, _ = tty.WriteString("\x1bc" + lines)
		err = use(tty, t.path)
		_ = tty.Close()
	}
	return errors.Join(err, s.takeBack(t))
}

// takeBack takes a console from a shell that has ended. The kernel hangs a terminal up when the session on it ends
// (disassociate_ctty in drivers/tty/tty_jobctrl.c), which makes every open file of it useless, ours too.
func (s *screen) takeBack(t *terminal) error {
	file, err := console.Open(t.path, unix.O_NONBLOCK)
	if err == nil {
		console.Raw(file)
		// The alternate screen and the hidden cursor were this console's state before the shell.
		_, _ = file.WriteString("\x1bc\x1b[?1049h\x1b[?25l\x1b[2J")
	}
	t.mu.Lock()
	if err == nil {
		_ = t.file.Close()
		t.file = file
	}
	t.away = false
	close(t.back)
	t.mu.Unlock()
	t.ask()
	t.program.Send(tea.ClearScreen())
	return err
}
