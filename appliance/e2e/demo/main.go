// Demo shows the main job, end to end, on this computer: a container is published, twice, and two blank machines, one
// with BIOS and one with UEFI, install its newest version from the network with no key pressed and boot it.
//
//	demo        does that and prints a line for each machine, with its times
//	demo -ui    switches one machine on and attaches this terminal to its serial console, to install it by hand
//
// It is what `make demo` runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/appliance/e2e"
	"griddle/appliance/job"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// limit is far above what the slowest computer takes: it ends a demo that hangs.
const limit = time.Hour

func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	ui := flags.Bool("ui", false, "install a machine yourself, on its serial console")
	uefi := flags.Bool("uefi", false, "with -ui: a machine with UEFI rather than BIOS")
	binary := flags.String("griddle", "bin/griddle", "the griddle program")
	boot := flags.String("boot-dir", "build/boot", "the directory with the files of make boot")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	room, err := e2e.Open(ctx, e2e.Options{Binary: *binary, BootDir: *boot, Log: stdout})
	if err == nil {
		if *ui {
			firmware := e2e.BIOS
			if *uefi {
				firmware = e2e.UEFI
			}
			err = byHand(ctx, room, firmware, stdin, stdout)
		} else {
			bounded, cancel := context.WithTimeout(ctx, limit)
			err = unattended(bounded, room, stdout)
			cancel()
		}
		err = errors.Join(err, room.Close())
		if err == nil {
			err = room.Remove()
		} else {
			fmt.Fprintf(stderr, "The logs and disks are in %s\n", room.Dir)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	return 0
}

// diskSize is of the blank disks. Their files take only what is written to them.
const diskSize = 4 << 30

// unattended publishes twice and installs two machines at once.
func unattended(ctx context.Context, room *e2e.Room, stdout io.Writer) error {
	container, err := room.Container(ctx)
	if err != nil {
		return err
	}
	site := room.Site(e2e.Proxy)
	versions, err := site.PublishTwice(ctx, container)
	if err != nil {
		return err
	}
	if err := room.LANServer(ctx); err != nil {
		return err
	}
	if err := site.Start(ctx); err != nil {
		return err
	}
	lines := make([]string, 2)
	work, ctx := errgroup.WithContext(ctx)
	for i, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
		work.Go(func() error {
			name := string(firmware)
			disk, err := room.MakeDisk(name, diskSize)
			if err != nil {
				return err
			}
			m, err := room.Machine(ctx,
				e2e.Hardware{Name: name, Firmware: firmware, Disks: []e2e.Disk{{File: disk, Serial: "DEMO-" + name}}})
			if err != nil {
				return err
			}
			if err := site.Install(ctx, m, e2e.ContainerName+":latest", "--disk", "largest",
				"--hostname", "demo-"+name); err != nil {
				return err
			}
			if err := m.PowerOn(ctx); err != nil {
				return err
			}
			times, err := site.Watch(ctx, m)
			lines[i] = fmt.Sprintf("%s machine: %v", firmware, times)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	for _, v := range versions {
		fmt.Fprintf(stdout, "%s: %s stream, %s plain, %s over the network\n", v.Ref, v.Kind,
			job.Bytes(v.Raw), job.Bytes(v.Wire))
	}
	for _, l := range lines {
		fmt.Fprintln(stdout, l)
	}
	fmt.Fprintln(stdout,
		"times are from power-on, under software emulation on this computer; both machines ran at the same time")
	return nil
}
