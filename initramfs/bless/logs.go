package bless

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"griddle/initramfs/pool/history"
)

// How much of the logs a fault has.
const (
	maxUnits  = 3 // that failed
	unitLines = 3 // of each
	ownLines  = 3 // of systemd's own errors
)

// logs is what the system says about what does not work: the ends of the logs of the units that failed, and systemd's
// last errors, such as mounts that did not come. Tools that do not answer say nothing.
func logs(ctx context.Context) []string {
	var out []string
	for i, unit := range units(ask(ctx, "systemctl", "list-units", "--state=failed", "--plain", "--no-legend")) {
		if i == maxUnits {
			break
		}
		for _, l := range journal(ctx, unitLines, "--unit="+unit) {
			out = append(out, unit+": "+l)
		}
	}
	// By its name: what it says before the journal runs comes by the kernel, without the number of a process.
	for _, l := range journal(ctx, ownLines, "--priority=err", "--identifier=systemd") {
		out = append(out, "systemd: "+l)
	}
	return out
}

// units are the names in a list of systemctl.
func units(list []string) []string {
	var out []string
	for _, l := range list {
		if f := strings.Fields(l); len(f) > 0 {
			out = append(out, f[0])
		}
	}
	return out
}

// journal is the last lines of this boot's journal that match.
func journal(ctx context.Context, n int, match ...string) []string {
	args := append([]string{"--boot", "--quiet", "--no-pager", "--output=cat", "--lines=20"}, match...)
	lines := ask(ctx, "journalctl", args...)
	return lines[max(0, len(lines)-n):]
}

// ask is the output of a program that may hang with the system.
func ask(ctx context.Context, name string, args ...string) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, _ := cmd.Output()
	return history.Tail(strings.Split(string(out), "\n"))
}
