// Firstroot is /init of the small initrd that a kernel image has: process 1 from the kernel's start to the root's own
// init. It loads the drivers of the disks, finds the pool, mounts the root and becomes the root's /sbin/init. As
// /sbin/modprobe in the same initrd it is what the kernel calls for a module.
//
// On the kernel's command line it understands:
//
//	root=UUID=...      the filesystem of the root, btrfs
//	root=/dev/...      the same, by the name of a device
//	rootflags=...      options of mount(8): subvol=@roots/web-1@amd64
//	rw, ro             how the root is mounted; the last one counts, ro if there is neither
//	init=PATH          what is started instead of /sbin/init
//	                   degraded: a disk of a mirror may be missing
//	rootdelay=N        how many seconds the disk may take to appear; 60 if there is none
//	panic=N            after how many seconds a failure restarts the machine; 10 if there is none, 0 for never
//	MODULE.NAME=VALUE  options of drivers, as package kmod reads them; modprobe.blacklist too
//
// The kernel prints its messages: with quiet only failures. A failure says what is missing and which disks there are,
// waits, and restarts the machine, so that GRUB counts it as a failed try and starts the last good root.
//
// Sources: Linux, Documentation/admin-guide/kernel-parameters.rst and
// Documentation/driver-api/early-userspace/early_userspace_support.rst; switch_root(8); fs/btrfs/ctree.h.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	"griddle/initramfs/hotplug"
	"griddle/initramfs/kmod"
)

func main() {
	if path.Base(os.Args[0]) == "modprobe" {
		if err := kmod.Modprobe(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "firstroot is process 1 of an initrd, and does nothing else")
		os.Exit(2)
	}
	wait := defaultPanic
	err := mountKernel()
	if err == nil {
		var o options
		if o, err = readOptions(); err == nil {
			wait = o.panic
			err = run(o)
		}
	}
	restart(err, wait)
}

// run becomes the init of the root. It returns only with an error.
func run(o options) error {
	devices, err := hotplug.New(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- devices.Run(ctx) }()
	go func() { _ = kmod.Modprobe([]string{"btrfs"}) }() // as slow as the disks; mountRoot says if there is none

	root, err := await(func() (found, error) { return find(os.DirFS("/sys/class/block"), open, o) },
		devices.Changed(), o)
	if err != nil {
		return err
	}
	say(info, fmt.Sprintf("the root is on %s, %s", strings.Join(root.nodes, " and "), o.flags))
	if !root.all {
		say(failure, "a disk of the mirror is missing: the machine starts without it")
	}
	if err := mountRoot(root, o); err != nil {
		return err
	}
	stop()
	<-ended // no driver is being loaded while the modules go
	return enter(o.init)
}

// await waits for the root. A disk of a mirror that does not come is waited for as long as o says, and then the root is
// what there is: a disk that is slow misses what is written meanwhile.
func await(look func() (found, error), changed <-chan struct{}, o options) (found, error) {
	over, without := time.After(o.delay), time.After(min(o.delay, o.without))
	again := time.NewTicker(200 * time.Millisecond) // a disk's partitions come later than the disk
	defer again.Stop()
	late := false
	for {
		root, err := look()
		if err == nil && (root.all || late) {
			return root, nil
		}
		select {
		case <-changed:
		case <-again.C:
		case <-without:
			late = true
		case <-over:
			return root, err
		}
	}
}
