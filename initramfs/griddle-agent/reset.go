package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/restart"

	"golang.org/x/sys/unix"
)

// resetting prepares the fresh systems of the next starts: after each start, with --keep at each shutdown. With --base
// it is all that the base itself does.
func resetting(ctx context.Context, args []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	switch strings.Join(args, " ") {
	case "":
		return prepare(ctx, log)
	case "--keep":
		_, err := prepareOnce(ctx, log, true)
		for _, none := range []error{reset.ErrTrial, reset.ErrNotReset, reset.ErrBase} {
			if errors.Is(err, none) {
				return nil
			}
		}
		return err
	case "--base":
		return base(ctx)
	}
	return errors.New("usage: griddle-agent reset [--keep | --base]")
}

// base makes fresh roots of the base that runs, and restarts.
func base(ctx context.Context) error {
	return reset.Base(ctx, reset.Options{
		Pool: func() (*pool.Pool, error) {
			p, _, err := poolHere()
			return p, err
		},
		Restart: restartBase,
		Say:     func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		Wait:    wait,
	})
}

// prepare prepares the next starts, during a trial when it has passed. A base that a person's kernel arguments started
// as a system restarts into a fresh one.
func prepare(ctx context.Context, log *slog.Logger) error {
	for {
		_, err := prepareOnce(ctx, log, false)
		if errors.Is(err, reset.ErrNotReset) {
			log.Info("nothing is prepared", "why", err)
			return nil
		}
		if errors.Is(err, reset.ErrBase) {
			return base(ctx)
		}
		if !errors.Is(err, reset.ErrTrial) || ctx.Err() != nil {
			return err
		}
		wait(ctx, 5*time.Second)
	}
}

func prepareOnce(ctx context.Context, log *slog.Logger, again bool) (int, error) {
	p, _, err := poolHere()
	if err != nil {
		return 0, err
	}
	n, err := reset.Prepare(ctx, p, again)
	if n > 0 {
		log.Info("fresh systems are ready for the next starts", "made", n)
	}
	return n, errors.Join(err, p.Close())
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// restartBase restarts the machine, by force if systemd does not: it runs nothing that has to stop in order.
func restartBase(ctx context.Context) error {
	err := restart.Firmware(ctx)
	if err == nil {
		wait(ctx, time.Minute)
	}
	if ctx.Err() != nil {
		return nil
	}
	unix.Sync()
	return errors.Join(err, unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}
