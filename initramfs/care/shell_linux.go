package care

import (
	"context"
	"errors"
	"os"

	"griddle/initramfs/chroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/sysroot"
)

// shell starts a shell of a root on this terminal.
func shell(ctx context.Context, s *pool.System) error {
	return Enter(ctx, s, os.Stdin, os.Getenv("TERM"))
}

// Enter starts a shell of a root on a terminal of a kind such as "linux", and returns when it has ended. How it ended
// is not an error.
func Enter(ctx context.Context, s *pool.System, tty *os.File, kind string) error {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return err
	}
	program := "/bin/bash"
	if (sysroot.Dir{Root: root}).Program("bash") == "" {
		program = "/bin/sh"
	}
	if err := root.Close(); err != nil {
		return err
	}
	resolv, _ := os.ReadFile("/etc/resolv.conf")
	err = chroot.Root{Dir: s.Dir, Hostname: s.Hostname(), Resolv: resolv}.Do(ctx, chroot.Call{
		Args: []string{program, "-l"}, Env: []string{"TERM=" + kind}, Terminal: tty})
	var ended *chroot.Error
	if errors.As(err, &ended) && ended.Kind == chroot.Exited {
		return nil // with the status of the last command
	}
	return err
}
