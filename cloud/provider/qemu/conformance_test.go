package qemu_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/provider/qemu"
)

// open makes a provider whose servers do not boot, and ends those that a test leaves.
func open(t *testing.T, dir string) *qemu.QEMU {
	t.Helper()
	q, err := qemu.New(qemu.Config{Dir: dir, Accel: "tcg", ShutdownTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatalf("%v; run make deps", err)
	}
	return q
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	providertest.Run(t, providertest.Options{
		Open:      func(t *testing.T) provider.Provider { return open(t, dir) },
		Timeout:   time.Minute,
		Poll:      5 * time.Millisecond,
		Processes: true,
		Foreign: func(t *testing.T, kind provider.Kind, stack, name string) (string, func() bool) {
			theirs := filepath.Join(dir, "stacks", stack, string(kind), name)
			file := filepath.Join(theirs, "theirs")
			if err := os.MkdirAll(theirs, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			return stack + "/" + name + "/00000000", func() bool {
				b, err := os.ReadFile(file)
				return err == nil && string(b) == "mine"
			}
		},
	})
}
