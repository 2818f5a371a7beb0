package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// trial is the first sector of a disk that counts to 2²⁸ and ends QEMU. On a computer whose KVM opens its device
// and then cannot run a guest, or runs it slower than emulation does (inside other virtual machines that is
// common), this shows it:
//
//	66 b9 00 00 00 10   mov ecx, 0x10000000
//	66 49               dec ecx
//	75 fc               jnz back to it
//	b0 10               mov al, 0x10
//	ba f4 00            mov dx, 0xf4
//	ee                  out dx, al           QEMU ends with 0x10*2+1
//	f4 eb fd            hlt, for ever
const trial = "\x66\xb9\x00\x00\x00\x10\x66\x49\x75\xfc\xb0\x10\xba\xf4\x00\xee\xf4\xeb\xfd"

const trialExit = 0x10*2 + 1

// accelRecord is accel.json.
type accelRecord struct {
	Boot    string    `json:"boot"`    // of this machine, when it was tried
	Program time.Time `json:"program"` // when QEMU was changed
	Accel   string    `json:"accel"`
}

// accelerator is kvm or tcg: what Config says, or what was the faster one when it was tried, which is once for each
// start of this machine. The state is locked.
func (q *QEMU) accelerator(ctx context.Context) (string, error) {
	if q.Accel != "" {
		return q.Accel, nil
	}
	now := accelRecord{Accel: "tcg"}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("looking for KVM: %w", err)
	}
	now.Boot = strings.TrimSpace(string(boot))
	file, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("looking for KVM: %w", err)
	}
	if i, err := os.Stat(file); err == nil {
		now.Program = i.ModTime().UTC()
	}
	known := q.path("accel.json")
	var was accelRecord
	if b, err := readBounded(known, 1<<12); err == nil && json.Unmarshal(b, &was) == nil && was.Boot == now.Boot &&
		was.Program.Equal(now.Program) && was.Accel != "" {
		return was.Accel, nil
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		emulated, err := q.try(ctx, "tcg", time.Minute)
		if err != nil {
			return "", fmt.Errorf("looking for KVM: %w", err)
		}
		if took, err := q.try(ctx, "kvm", emulated); err == nil && took < emulated {
			now.Accel = "kvm"
		} else if ctx.Err() != nil {
			return "", fmt.Errorf("looking for KVM: %w", ctx.Err())
		}
	}
	b, err := json.Marshal(now)
	if err != nil {
		return "", err
	}
	if err := q.Disk.Replace(known, append(b, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("writing down whether KVM works: %w", room(err))
	}
	return now.Accel, nil
}

// try runs trial, and says how long that took.
func (q *QEMU) try(ctx context.Context, accel string, most time.Duration) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, most)
	defer stop()
	disk := make([]byte, 1<<20)
	copy(disk, trial)
	copy(disk[510:], "\x55\xaa")
	dir, err := os.MkdirTemp(q.path("new"), "trial-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, imageDisk), disk, 0o600); err != nil {
		return 0, err
	}
	cpu := map[string]string{"kvm": "host", "tcg": "max"}[accel]
	cmd := exec.CommandContext(ctx, program, "-machine", "pc", "-accel", accel, "-cpu", cpu, "-m", "64",
		"-nodefaults", "-no-user-config",
		"-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
		"-drive", "if=ide,format=raw,file="+imageDisk)
	cmd.Dir = dir
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != trialExit {
		return 0, fmt.Errorf("trying %s: it ended with %w", accel, errors.Join(err, ctx.Err()))
	}
	return took, nil
}
