package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/bless/watchdog"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/pool"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/program"
)

// health checks the system that runs; with --deadline it restarts the machine if the system is not blessed in time.
func health(ctx context.Context, args []string) error {
	o, err := trial()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return bless.Health(ctx, o)
	}
	if len(args) != 2 || args[0] != "--deadline" {
		return errors.New("usage: griddle-agent health [--deadline DURATION]")
	}
	limit, err := time.ParseDuration(args[1])
	if err != nil || limit <= 0 {
		return fmt.Errorf("%q is not a duration, such as 10m", args[1])
	}
	if !o.OnTrial {
		return fmt.Errorf("this system is not on trial: the kernel's command line has no %s", bootloader.Try)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := watchdog.Keep(ctx); err != nil {
			o.Log.Info("a hang of the whole system is not noticed", "reason", err)
		}
	}()
	err = bless.Deadline(ctx, o, limit)
	if ctx.Err() != nil {
		<-watched // it stops the watchdog
	}
	return err
}

// trial is this system, for package bless.
func trial() (bless.Options, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return bless.Options{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return bless.Options{}, err
	}
	check := resident.Options{Dir: resident.Dir, Agent: program.Program{Dir: resident.Programs}, Version: version,
		Root: rootSubvolume()}
	return bless.Options{Root: "/", OnTrial: bless.OnTrial(string(line)),
		Started: attempt.Start{Boot: strings.TrimSpace(string(boot)), CommandLine: string(line)},
		Open: func() (bless.Pool, error) {
			place, err := pool.Here()
			if err != nil {
				return nil, err
			}
			return pool.Open(place)
		},
		Server:  func(ctx context.Context) error { return resident.Check(ctx, check) },
		Reached: resident.Reached(resident.Dir, time.Now()),
		Log:     slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}, nil
}
