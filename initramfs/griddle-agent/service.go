package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"griddle/initramfs/action"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool/reset/unit"
	"griddle/initramfs/resident"
	"griddle/initramfs/resident/order"
	"griddle/initramfs/resident/program"
)

// What mkboot's linker writes here, so that a program that replaced itself knows which one it is. One that `go build`
// made alone is older than all others.
var (
	version = "unknown"
	built   = "0" // seconds since 1970
)

// service is the program on the installed system: the service itself, with --check one check-in, with --guard what the
// last good program does before each start.
func service(ctx context.Context, args []string) error {
	agent := program.Program{Dir: resident.Programs}
	o := resident.Options{Dir: resident.Dir, Agent: agent, Version: version, Root: rootSubvolume(),
		Run: order.Run, Updates: updatable, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	o.Started, o.Runs = attempt.Here(), func() bool { return !action.Forbidden(action.NoRuns) }
	o.Built, _ = strconv.ParseInt(built, 10, 64)
	switch strings.Join(args, " ") {
	case "":
		err := resident.Run(ctx, o)
		if errors.Is(err, resident.ErrReplaced) {
			return nil // systemd starts the new one
		}
		return err
	case "--check":
		return resident.Check(ctx, o)
	case "--guard":
		back, err := agent.Guard()
		if back {
			o.Log.Error("the new agent was started several times and did not work: the last good one is back")
		}
		return err
	}
	return fmt.Errorf("usage: griddle-agent service [--check | --guard]")
}

// rootSubvolume is the subvolume that / is, such as "@roots/web-1@amd64", or "" where / is not one. Of a fresh root it
// is the base, which is the same at each start.
func rootSubvolume() string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	root := subvolume(string(b))
	if name, err := os.ReadFile(newroot.OwnFile); root == "" && err == nil {
		return newroot.Folder + "/" + strings.TrimSpace(string(name)) // it is a partition
	}
	if base, _, fresh := bootenv.CutFresh(root); fresh && unit.Installed("/") {
		return base
	}
	return root
}

// subvolume finds it in the list of mounts: the root of the mount within its filesystem (proc(5), /proc/PID/mountinfo,
// field 4). The last mount on / is the one that counts.
func subvolume(mountinfo string) (root string) {
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			root = strings.TrimPrefix(f[3], "/")
		}
	}
	return root
}
