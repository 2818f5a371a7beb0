// Package watchdog has the machine restart when it hangs.
//
// Call Keep for the time in which a hang counts. It feeds the machine's watchdog, and stops it in the end. Where the
// machine has none it loads the kernel's own, softdog, which is helpless if the whole kernel hangs.
//
// A watchdog that another program feeds is left to it. One that cannot be stopped again is not used: the machine would
// restart at some time after the end of Keep. Sources: the kernel's Documentation/watchdog/watchdog-api.rst, and
// Documentation/ABI/testing/sysfs-class-watchdog.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone is wrapped if no watchdog can be used, with the reason.
var ErrNone = errors.New("there is no watchdog to use")

// After is how long the machine may hang, and fed is the time between two feedings.
const (
	After = 60 * time.Second
	fed   = 5 * time.Second
)

// driverTime is how long the driver of a watchdog may take to appear at the start of a system.
const driverTime = 20 * time.Second

// magicClose is the option of watchdogs that can be stopped (WDIOF_MAGICCLOSE).
const magicClose = 0x0100

// Keep feeds the watchdog until ctx ends, and stops it. Errors that wrap ErrNone come at the start.
func Keep(ctx context.Context) error { return keep(ctx, "/sys", "/dev", driverTime) }

func keep(ctx context.Context, sys, dev string, wait time.Duration) error {
	path, err := find(ctx, sys, dev, wait)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: another program feeds it", ErrNone)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	// Some have another limit, and cannot change it. It is longer than the time between two feedings.
	_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, int(After/time.Second))
	for feed := time.Tick(fed); ; {
		_, err := f.Write([]byte{0})
		select {
		case <-ctx.Done():
			_, err = f.Write([]byte("V"))
			return errors.Join(err, f.Close())
		case <-feed:
		}
		if err != nil {
			return errors.Join(fmt.Errorf("feeding the watchdog: %w", err), f.Close())
		}
	}
}

// find is the device file of the first watchdog, which can be stopped.
func find(ctx context.Context, sys, dev string, wait time.Duration) (string, error) {
	class := filepath.Join(sys, "class/watchdog/watchdog0")
	for end := time.Now().Add(wait); ; {
		if _, err := os.Stat(class); err == nil || ctx.Err() != nil {
			break
		}
		if time.Now().After(end) {
			if out, err := exec.CommandContext(ctx, "modprobe", "softdog").CombinedOutput(); err != nil {
				return "", fmt.Errorf("%w: the machine has none, and softdog is missing: %w: %s", ErrNone, err, out)
			}
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait / 20):
		}
	}
	text := func(name string) (string, error) {
		b, err := os.ReadFile(filepath.Join(class, name))
		return strings.TrimSpace(string(b)), err
	}
	nowayout, err := text("nowayout")
	options, err2 := text("options")
	if errors.Is(err2, fs.ErrNotExist) { // as in Linux 6.1, which stops one without magic close at the end of its file
		options, err2 = strconv.Itoa(magicClose), nil
	}
	if err := errors.Join(err, err2); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: the kernel does not say whether it can be stopped", ErrNone)
	} else if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNone, err)
	}
	if n, err := strconv.ParseUint(options, 0, 32); err != nil || n&magicClose == 0 || nowayout != "0" {
		return "", fmt.Errorf("%w: it cannot be stopped again", ErrNone)
	}
	return filepath.Join(dev, "watchdog0"), nil
}
