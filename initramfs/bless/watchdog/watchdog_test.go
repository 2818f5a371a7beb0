package watchdog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine has a watchdog with these answers of its driver, or none.
func machine(t *testing.T, nowayout, options string) (sys, dev string) {
	t.Helper()
	sys, dev = t.TempDir(), t.TempDir()
	if options == "" {
		return sys, dev
	}
	class := filepath.Join(sys, "class/watchdog/watchdog0")
	if err := errors.Join(os.MkdirAll(class, 0o755), os.WriteFile(filepath.Join(dev, "watchdog0"), nil, 0o600),
		os.WriteFile(filepath.Join(class, "options"), []byte(options+"\n"), 0o444),
		os.WriteFile(filepath.Join(class, "nowayout"), []byte(nowayout+"\n"), 0o444)); err != nil {
		t.Fatal(err)
	}
	return sys, dev
}

// modprobe is a program that runs script.
func modprobe(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "modprobe"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin")
}

// What is fed is stopped in the end, also where the kernel does not show options: Linux 6.1 does not.
func TestKeep(t *testing.T) {
	modprobe(t, "exit 1")
	for _, shown := range []bool{true, false} {
		sys, dev := machine(t, "0", "0x8180")
		if !shown {
			if err := os.Remove(filepath.Join(sys, "class/watchdog/watchdog0/options")); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := keep(ctx, sys, dev, time.Second); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(filepath.Join(dev, "watchdog0")); err != nil || string(b) != "\x00V" {
			t.Errorf("with options shown %v the watchdog got %q, %v, want one feeding and the stop", shown, b, err)
		}
	}
}

// A machine without a watchdog gets the kernel's own.
func TestSoftdog(t *testing.T) {
	sys, dev := machine(t, "", "")
	class := filepath.Join(sys, "class/watchdog/watchdog0")
	modprobe(t, "[ $1 = softdog ] && mkdir -p "+class+" && echo 0x8180 >"+class+"/options && echo 0 >"+class+
		"/nowayout && : >"+dev+"/watchdog0\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := keep(ctx, sys, dev, 100*time.Millisecond); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dev, "watchdog0")); err != nil || string(b) != "\x00V" {
		t.Errorf("the watchdog got %q, %v", b, err)
	}
}

// A watchdog that would restart the machine later is left alone.
func TestRefused(t *testing.T) {
	modprobe(t, "echo Module softdog not found; exit 1")
	for want, driver := range map[string][2]string{
		"cannot be stopped again":     {"1", "0x8180"},
		"cannot be stopped again ":    {"0", "0x8080"},
		"cannot be stopped again  ":   {"0", "rubbish"},
		"Module softdog not found":    {"", ""},
		"kernel does not say whether": {"-", "0x8180"},
	} {
		sys, dev := machine(t, driver[0], driver[1])
		if driver[0] == "-" {
			if err := os.Remove(filepath.Join(sys, "class/watchdog/watchdog0/nowayout")); err != nil {
				t.Fatal(err)
			}
		}
		err := keep(t.Context(), sys, dev, 10*time.Millisecond)
		if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("with the driver %q: %v, want %q", driver, err, want)
		}
		if b, _ := os.ReadFile(filepath.Join(dev, "watchdog0")); len(b) > 0 {
			t.Errorf("the watchdog got %q", b)
		}
	}
	sys, dev := machine(t, "0", "0x8180")
	if err := os.Remove(filepath.Join(dev, "watchdog0")); err != nil {
		t.Fatal(err)
	}
	if err := keep(t.Context(), sys, dev, time.Second); !errors.Is(err, ErrNone) {
		t.Errorf("without a device file: %v, want ErrNone", err)
	}
}
