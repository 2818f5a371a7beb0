// Griddle-agent is Griddle's own program in the boot image. It is several programs in one file:
//
//	/init                      process 1: mounts, starts the agent, reaps, and offers a shell if the agent dies
//	griddle-agent agent        finds the network and the server, draws the screen, installs
//	/sbin/modprobe NAME        loads modules when the kernel asks for them
//	/bin/fetch-tools           gets the tools archive, in the rescue shell (package toolbox)
//	griddle-agent service      in an installed system: keeps in touch with the server (package resident)
//	griddle-agent health       in an installed system: checks it, and restarts it if it does not work (package bless)
//	griddle-agent bless        in an installed system: says that it works (package bless)
//	griddle-agent reset        in an installed system: makes fresh systems for the next starts (package pool/reset)
//	griddle-agent phone-home   in an installed system: reports once that the system is up (package phonehome)
//	griddle-agent maintain     in an installed system: changes it (package care)
//	griddle-agent recover      in an installed system: shows and repairs its pool (package care)
//	griddle-agent update       in an installed system: gives it the next version; likewise status, rollback and
//	                           history (package upkeep)
//	griddle-agent mirror       in an installed system and in the rescue shell: shows and repairs a mirror, and takes a
//	                           new disk in (package newdisk)
//	griddle-agent kernels      in an installed system: copies kernels for GRUB, beside an encrypted pool (package
//	                           pool/kernels)
//
// It is also the first process of each root that programs run in (package chroot), and the process that reads the
// registry of a Windows (package windows).
//
// The screen shows what users need to know. /run/agent.log has the details for developers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"griddle/initramfs/chroot"
	"griddle/initramfs/kmod"
	"griddle/initramfs/newroot"
	"griddle/initramfs/phonehome"
	"griddle/initramfs/pool/kernels"
	"griddle/initramfs/supervise"
	"griddle/initramfs/upkeep"
	"griddle/initramfs/windows"
)

func main() {
	chroot.Inside()
	windows.Inside()
	os.Exit(run(os.Args))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case filepath.Base(args[0]) == "modprobe":
		err = kmod.Modprobe(args[1:])
	case filepath.Base(args[0]) == "fetch-tools":
		err = fetchTools(ctx)
	case os.Getpid() == 1:
		supervise.Run()
	case len(args) == 2 && args[1] == "agent":
		err = agent(ctx)
	case len(args) >= 2 && (args[1] == "maintain" || args[1] == "recover"):
		return caring(ctx, args[1:])
	case len(args) >= 2 && upkeep.Has(args[1]):
		return keepUp(ctx, args[1:])
	case len(args) >= 2 && args[1] == "mirror":
		return mirroring(ctx, args[2:])
	case len(args) >= 2 && args[1] == "kernels":
		return kernels.Here().Run(args[2:])
	case len(args) == 2 && args[1] == "phone-home":
		err = phonehome.Run(ctx, phonehome.Files{Config: newroot.HomeFile, Etc: "/etc"})
	case len(args) > 1 && args[1] == "service":
		err = service(ctx, args[2:])
	case len(args) > 1 && args[1] == "health":
		err = health(ctx, args[2:])
	case len(args) > 1 && args[1] == "bless":
		err = blessing(ctx, args[2:])
	case len(args) > 1 && args[1] == "reset":
		err = resetting(ctx, args[2:])
	default:
		fmt.Fprintln(os.Stderr, "usage: griddle-agent agent | phone-home | service | maintain | recover |\n"+
			"       update | status | rollback | history | health | bless | reset | mirror |\n"+
			"       kernels")
		return 2
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(args[0]), err)
		return 1
	}
	return 0
}
