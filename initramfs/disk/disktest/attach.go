package disktest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Attach makes a loop device of a file, with its partitions; args are options of losetup(8). The caller has it
// detached. If the test program ends before that, however it ends, the device is detached as well.
func Attach(t testing.TB, file string, args ...string) (dev string) {
	t.Helper()
	dev = strings.TrimSpace(Tool(t, "losetup", append(append([]string{"--find", "--show", "--partscan"}, args...),
		file)...))
	back, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file"))
	if err == nil {
		err = watched.add(dev, strings.TrimSpace(string(back)))
	}
	if err != nil {
		t.Errorf("%s stays if this program is killed: %v", dev, err)
	}
	return dev
}

// watched is the process that detaches what this one leaves.
var watched watcher

// watcher is a shell that reads which devices there are, until the pipe from this process ends. A device that has
// another file by then is not touched: its number was given to someone else.
type watcher struct {
	sync.Mutex
	to io.Writer
}

// watch is what the shell does. The kernel adds " (deleted)" to the name of a file that is gone.
const watch = `trap '' HUP INT QUIT TERM
all=$(cat)
echo "$all" | while IFS=' ' read -r dev file; do
	at=/sys/block/${dev#/dev/}/loop/backing_file
	now=$(cat "$at" 2>/dev/null) || continue
	[ "${now% (deleted)}" = "$file" ] || continue
	partx -d "$dev"
	losetup -d "$dev"
done
`

// add notes a device. Its file has a folder of its own, so that its name tells it from those of others.
func (w *watcher) add(dev, file string) error {
	w.Lock()
	defer w.Unlock()
	if w.to == nil {
		cmd := exec.Command("/bin/sh", "-c", watch)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends a group of processes does not end it
		to, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return fmt.Errorf("starting what detaches loop devices: %w", err)
		}
		w.to = to
	}
	if strings.ContainsAny(file, "\n") {
		return errors.New("its file has a line break in its name")
	}
	_, err := fmt.Fprintln(w.to, dev, file)
	return err
}
