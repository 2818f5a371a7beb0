package kexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/pool"
	"griddle/initramfs/restart"

	"golang.org/x/sys/unix"
)

// Restart restarts an installed system that systemd runs into a root of its pool. All services stop in their order; it
// returns as soon as that begins. After an error the system runs on, and can be restarted in the ordinary way.
func Restart(ctx context.Context, p *pool.Pool, root string) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return fmt.Errorf("starting %s without the firmware: systemd does not run here", pool.Label(root))
	}
	l, err := here().prepare(p, root)
	if err != nil {
		return err
	}
	if err := restart.Kexec(ctx); err != nil {
		err = fmt.Errorf("starting %s without the firmware: %w", pool.Label(root), err)
		return errors.Join(err, l.cancel())
	}
	return nil
}

// Leave ends the boot image and starts what the boot loader of a pool would start. Nothing else may be mounted. It
// returns only after an error, and everything is as before then.
func Leave(place pool.Place) error {
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	has, err := p.Read()
	if err != nil {
		return errors.Join(err, p.Close())
	}
	root, _ := has.Next()
	l, err := here().prepare(p, root)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	if err = p.Close(); err == nil {
		unix.Sync()
		err = unix.Reboot(unix.LINUX_REBOOT_CMD_KEXEC)
	}
	err = fmt.Errorf("starting %s without the firmware: %w", pool.Label(root), err)
	if p, err2 := pool.Open(place); err2 != nil {
		err = errors.Join(err, err2)
	} else {
		l.pool = p
		err = errors.Join(err, l.cancel(), p.Close())
	}
	return err
}

// here is the machine that runs this program.
func here() machine {
	return machine{load: load, unload: unload, start: attempt.Here(), model: attempt.ThisModel(os.DirFS("/sys"))}
}

// load has the kernel read another one and its initrd into memory (kexec_file_load(2)).
func load(kernel, initrd *os.File, commandLine string) error {
	flags, fd := 0, 0
	if initrd == nil {
		flags = unix.KEXEC_FILE_NO_INITRAMFS
	} else {
		fd = int(initrd.Fd())
	}
	return explained(unix.KexecFileLoad(int(kernel.Fd()), fd, commandLine, flags), lockdown())
}

func unload() error { return unix.KexecFileLoad(0, 0, "", unix.KEXEC_FILE_UNLOAD) }

// lockdown is how locked down the kernel is: "", "integrity" or "confidentiality" (kernel_lockdown(7)).
func lockdown() string {
	b, _ := os.ReadFile("/sys/kernel/security/lockdown")
	_, mode, _ := strings.Cut(string(b), "[")
	mode, _, _ = strings.Cut(mode, "]")
	if mode == "none" {
		return ""
	}
	return mode
}

// explained says what an error of kexec_file_load means.
func explained(err error, lockdown string) error {
	why := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM) && lockdown != "":
		why = "this kernel is locked down (" + lockdown + ")"
	case errors.Is(err, unix.EPERM):
		why = "this kernel must not load another one (kernel.kexec_load_disabled)"
	case errors.Is(err, unix.ENOSYS):
		why = "this kernel cannot load another one (CONFIG_KEXEC_FILE)"
	case errors.Is(err, unix.ENOEXEC):
		why = "it is not a kernel that this one can start"
	case errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EBADMSG),
		errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOPKG):
		why = "this kernel does not accept its signature"
	case errors.Is(err, unix.EBUSY):
		why = "another program loads a kernel now"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", why, err)
}
