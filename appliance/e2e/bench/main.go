// Bench measures, on machines of their own, how long it is from power-on to the agent's screen, and what the boot image
// weighs. It prints one line for each figure. `make bench` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"griddle/appliance/e2e"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

const (
	bootDir = "build/boot"
	// sizeLimit is what kernel and initramfs may weigh together.
	sizeLimit = 40_000_000
	// limit ends a measurement that hangs.
	limit = 20 * time.Minute
)

func run(ctx context.Context, stdout io.Writer) (err error) {
	if err := weigh(stdout); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	room, err := e2e.Open(ctx, e2e.Options{Binary: "bin/griddle", BootDir: bootDir})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, room.Close()); err == nil {
			err = room.Remove()
		}
	}()
	if err := room.LANServer(ctx); err != nil {
		return err
	}
	site := room.Site(e2e.Proxy)
	if err := site.Start(ctx, "--unknown-machines", "agent"); err != nil {
		return err
	}
	// One after the other: a second machine would be measured with the first.
	for _, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
		if err := powerOn(ctx, room, firmware, stdout); err != nil {
			return err
		}
	}
	return nil
}

func powerOn(ctx context.Context, room *e2e.Room, firmware e2e.Firmware, stdout io.Writer) error {
	disk, err := room.MakeDisk(string(firmware), 1<<30)
	if err != nil {
		return err
	}
	m, err := room.Machine(ctx,
		e2e.Hardware{Name: string(firmware), Firmware: firmware, Disks: []e2e.Disk{{File: disk, Serial: "BENCH"}}})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := m.PowerOn(ctx); err != nil {
		return err
	}
	defer m.PowerCut()
	if _, err := m.Console().WaitScreen(ctx, `Griddle .*starting`); err != nil {
		return err
	}
	first := time.Since(begun)
	if _, err := m.Console().WaitScreen(ctx, `Install an image`); err != nil {
		return err
	}
	fmt.Fprintf(stdout,
		"figure: %s: power-on to the agent's first screen %.1f s, to its menu %.1f s (software emulation)\n",
		firmware, first.Seconds(), time.Since(begun).Seconds())
	return nil
}

// weigh prints the bytes that each machine fetches to start the agent.
func weigh(stdout io.Writer) error {
	var sizes []int64
	for _, name := range []string{"vmlinuz", "initramfs"} {
		info, err := os.Stat(filepath.Join(bootDir, name))
		if err != nil {
			return fmt.Errorf("weighing the boot image: %w; run make boot", err)
		}
		sizes = append(sizes, info.Size())
	}
	both := sizes[0] + sizes[1]
	fmt.Fprintf(stdout, "figure: kernel %d + initramfs %d = %d bytes, %.1f %% of the %d that are allowed\n",
		sizes[0], sizes[1], both, 100*float64(both)/sizeLimit, sizeLimit)
	return nil
}
