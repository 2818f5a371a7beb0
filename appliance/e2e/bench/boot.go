package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"griddle/appliance/e2e"
)

// sizeLimit is what kernel and initramfs may weigh together.
const sizeLimit = 40_000_000

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

// boots starts a machine that the server does not know, under each firmware.
func (l *lab) boots(ctx context.Context) error {
	if err := l.serve(ctx, "never"); err != nil {
		return err
	}
	for _, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
		disk, err := l.room.MakeDisk(string(firmware), 1<<30)
		if err != nil {
			return err
		}
		m, err := l.room.Machine(ctx,
			e2e.Hardware{Name: string(firmware), Firmware: firmware, Disks: []e2e.Disk{{File: disk, Serial: "BENCH"}}})
		if err != nil {
			return err
		}
		first, menu, err := powerOn(ctx, m)
		m.PowerCut()
		if err != nil {
			return err
		}
		l.say("%s: power-on to the agent's first screen %.1f s, to its menu %.1f s (software emulation)", firmware,
			first.Seconds(), menu.Seconds())
	}
	return l.site.Stop(ctx)
}

// powerOn starts a machine, and says how long it was to the agent's first screen, and to its menu.
func powerOn(ctx context.Context, m *e2e.Machine) (first, menu time.Duration, err error) {
	begun := time.Now()
	if err := m.PowerOn(ctx); err != nil {
		return 0, 0, err
	}
	if _, err := m.Console().WaitScreen(ctx, `Griddle .*starting`); err != nil {
		return 0, 0, err
	}
	first = time.Since(begun)
	_, err = m.Console().WaitScreen(ctx, `Install an image`)
	return first, time.Since(begun), err
}
