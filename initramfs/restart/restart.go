// Package restart has systemd restart the machine.
//
// Call Firmware, or Kexec if the kernel has another one loaded (package kexec). All services stop in their order; both
// return as soon as that begins. Then nothing stops it: jobs that come later do not replace it.
//
// PID 1 is asked itself, and not logind as `systemctl reboot` does: since systemd 257 a program that holds an inhibitor
// stops root too, and a machine that no one sits at would not restart. Sources: systemctl(1), systemd.special(7),
// systemd-inhibit(1).
package restart

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Firmware restarts the machine through its firmware.
func Firmware(ctx context.Context) error { return start(ctx, "reboot.target") }

// Kexec starts the kernel that is loaded.
func Kexec(ctx context.Context) error { return start(ctx, "kexec.target") }

// answerTime is how long systemd may take to answer.
const answerTime = 30 * time.Second

// start starts a target. That stops the unit of this program too, so that ctx may end and a signal may end systemctl
// before it has heard the answer: then systemd is asked whether the restart began.
func start(ctx context.Context, target string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	out, err := systemctl(ctx, "--no-ask-password", "--no-block", "--job-mode=replace-irreversibly", "start", target)
	if err == nil {
		return nil
	}
	if id, err := systemctl(ctx, "show", "--property=Job", "--value", target); err == nil && id != "" && id != "0" {
		return nil
	}
	return fmt.Errorf("systemctl start %s: %w: %s", target, err, out)
}

// systemctl returns what it says, in one line.
func systemctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}
