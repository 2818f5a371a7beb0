package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/care"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/install"
	"griddle/initramfs/newdisk"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
)

const mirrorHelp = `usage: griddle-agent mirror [DISK [--erase] | --repair]

Shows how the mirror of this machine is. With a disk, such as /dev/sdb or its serial number, it takes that disk in for
one that is missing: the disk gets a new table, and a copy of all data. It must be blank; --erase gives up what is on it.
--repair installs GRUB on both disks, and copies to both what was written while one of them was missing.

Example: griddle-agent mirror /dev/sdb
`

// mirrorLine is a command line.
type mirrorLine struct {
	disk          string // "" for none
	erase, repair bool
}

// errMirror means that a command line is not one of mirrorHelp.
var errMirror = errors.New("usage")

// readMirror reads a command line. The error is errMirror or flag.ErrHelp.
func readMirror(args []string) (l mirrorLine, err error) {
	set := flag.NewFlagSet("mirror", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&l.erase, "erase", false, "")
	set.BoolVar(&l.repair, "repair", false, "")
	for len(args) > 0 && err == nil {
		if err = set.Parse(args); err != nil {
			break
		}
		if args = set.Args(); len(args) > 0 { // the disk may come before its flags
			if l.disk != "" {
				return l, errMirror
			}
			l.disk, args = args[0], args[1:]
		}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return l, err
	case err != nil, l.repair && (l.disk != "" || l.erase), l.erase && l.disk == "":
		return l, errMirror
	}
	return l, nil
}

// mirroring is the command mirror: on an installed system, and in the rescue shell.
func mirroring(ctx context.Context, args []string) int {
	l, err := readMirror(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(mirrorHelp)
		return 0
	case err != nil:
		fmt.Fprint(os.Stderr, mirrorHelp)
		return 2
	}
	if err := mirror(ctx, l); err != nil {
		fmt.Fprintf(os.Stderr, "griddle-agent mirror: %v\n", err)
		return 1
	}
	return 0
}

func mirror(ctx context.Context, l mirrorLine) error {
	if os.Geteuid() != 0 {
		return errors.New("only root can do this: use sudo")
	}
	scanner := &disk.Scanner{Sys: os.DirFS("/sys"), Open: disk.Open, Ask: content.Blkid}
	o := newdisk.Options{Pool: mirrorHere, Erase: l.erase, Say: func(text string) { fmt.Println(text) },
		Find: func(ctx context.Context) ([]job.Disk, error) {
			found, err := scanner.Scan(ctx)
			return install.Disks(found), err
		},
		Bootloader: func(p *pool.Pool) error { return care.InstallBootloader(p, os.DirFS(bootloader.Images)) },
		Firmware:   nvram.Open}
	switch {
	case l.repair:
		if err := newdisk.Complete(ctx, o); err != nil {
			return err
		}
	case l.disk != "":
		disks, err := o.Find(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(disks, func(d job.Disk) bool { return d.Named(l.disk) })
		if at < 0 {
			return fmt.Errorf("no disk of this machine is %s; lsblk lists them", job.Printable(l.disk))
		}
		o.Disk = disks[at]
		if err := newdisk.Take(ctx, o); err != nil {
			return err
		}
	}
	place, err := mirrorHere()
	if err != nil {
		return err
	}
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	m, err := p.Mirror()
	if err = errors.Join(err, p.Close()); err == nil {
		fmt.Println(m)
	}
	return err
}

// mirrorHere is the mirror that the system runs from, or the only one on the disks of a machine that booted from the
// network.
func mirrorHere() (pool.Place, error) {
	mirrored := func(p pool.Place) bool { return len(p.Others) > 0 || p.Missing > 0 }
	here, err := pool.Here()
	if err == nil && !mirrored(here) {
		return here, errors.New("the pool of this machine is on one disk")
	}
	if err == nil || !errors.Is(err, pool.ErrNone) {
		return here, err
	}
	var found []pool.Place
	for _, p := range pool.All() {
		same := func(q pool.Place) bool {
			return slices.ContainsFunc(q.Others, func(o pool.Place) bool { return o.Disk == p.Disk })
		}
		if mirrored(p) && !slices.ContainsFunc(found, same) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return pool.Place{}, fmt.Errorf("this machine has %d pools that are mirrors, and not one", len(found))
	}
	return found[0], nil
}
