package kexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/pool"

	"golang.org/x/sys/unix"
)

// The files of this program in the machine of TestMachine.
const (
	program = "/usr/lib/kexec.test"
	modules = "/modules" // in the boot image, in the order in which they are loaded
	inside  = "in-the-machine"
)

// inMachine is what this program does in the machine of TestMachine: as process 1 of its boot image, and as a unit of
// its systems. Elsewhere it returns.
func inMachine() {
	switch {
	case os.Getpid() == 1:
		fmt.Println("boot image:", bootImage())
		unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case len(os.Args) == 2 && os.Args[1] == inside:
		if err := system(); err != nil {
			report("failed: %v", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// bootImage leaves for the pool of the disk.
func bootImage() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), unix.Mount(m[0], m[1], m[0], 0, "")); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(modules)
	if err != nil {
		return err
	}
	for _, e := range files {
		f, err := os.Open(filepath.Join(modules, e.Name()))
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
		f.Close()
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := os.Stat("/dev/vda3"); err == nil {
			break
		}
	}
	place, err := pool.On("/dev/vda")
	if err != nil {
		return err
	}
	return Leave(place)
}

// report writes a line to the serial line.
func report(format string, args ...any) {
	if f, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY, 0); err == nil {
		fmt.Fprintf(f, "\nkexec.test: "+format+"\n", args...)
		f.Close()
	}
}

// system is one step of the story, in the root that runs.
func system() error {
	place, err := pool.Here()
	if err != nil {
		return err
	}
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	defer p.Close()
	record, err := pool.Persistent(p.Dir())
	if err != nil {
		return err
	}
	defer record.Close()
	has, err := p.Read()
	if err != nil {
		return err
	}
	runs := ""
	for _, r := range has.Roots {
		if r.Runs {
			runs = r.Name
		}
	}
	a, err := attempt.Settle(record, attempt.Start{Boot: attempt.Here().Boot, CommandLine: attempt.Here().CommandLine})
	if err != nil {
		return err
	}
	how := "the firmware"
	if strings.Contains(attempt.Here().CommandLine, attempt.Word) {
		how = "kexec"
	}
	state := attempt.State("")
	if a != nil {
		state = a.State
	}
	n := step(record)
	report("step %d: %s started by %s, the last attempt %s, candidate %q, tries %d", n, runs, how, state,
		has.Candidate, has.Tries)
	try := func(root string) error {
		err := p.Switch(root)
		if err == nil {
			err = Restart(context.Background(), p, root)
		}
		if err != nil {
			report("ordinary restart: %v", err)
			return exec.Command("systemctl", "reboot").Run()
		}
		return nil
	}
	switch n {
	case 1: // from the boot image
		return try("two")
	case 2:
		if err := p.Bless("two"); err != nil {
			return err
		}
		return try("broken")
	case 3:
		return try("panic")
	case 4:
		return try("one")
	}
	return exec.Command("systemctl", "poweroff").Run()
}

// step counts the steps, over all roots.
func step(record *os.Root) int {
	n := 0
	if f, err := record.Open("step"); err == nil {
		b, _ := io.ReadAll(f)
		f.Close()
		n = len(b)
	}
	if f, err := record.OpenFile("step", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err == nil {
		f.WriteString(".")
		f.Sync()
		f.Close()
	}
	return n + 1
}
