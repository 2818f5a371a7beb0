package qemu

import (
	"errors"
	"os"
	"testing"
	"time"

	"griddle/imagestore/durable"
)

// TestAccelerator has this computer tried, and then no more.
func TestAccelerator(t *testing.T) {
	q, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("%v; run make deps", err)
	}
	got, err := q.accelerator(t.Context())
	if err != nil || got != "tcg" && got != "kvm" {
		t.Fatalf("accelerator = %q, %v", got, err)
	}
	t.Logf("here it is %s", got)
	q.Disk = durable.Disk{Before: func(o *durable.Op) error {
		t.Errorf("tried again: %v", o)
		return nil
	}}
	if again, err := q.accelerator(t.Context()); err != nil || again != got {
		t.Errorf("accelerator = %q, %v, and was %q", again, err, got)
	}
	// What was tried before this computer was started anew does not count, nor does what is no record.
	if err := os.WriteFile(q.path("accel.json"), []byte(`{"boot":"x","accel":"kvm"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	q.Disk = durable.Disk{}
	if again, err := q.accelerator(t.Context()); err != nil || again != "tcg" && again != "kvm" {
		t.Errorf("accelerator = %q, %v", again, err)
	}
}

// TestTrial has the emulator, which always works, run the trial.
func TestTrial(t *testing.T) {
	q, err := New(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	took, err := q.try(t.Context(), "tcg", 5*time.Minute)
	if err != nil || took <= 0 {
		t.Errorf("the trial took %v, %v", took, err)
	}
	t.Logf("emulated it took %v", took)
	if _, err := q.try(t.Context(), "none", time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the trial of an accelerator that is none = %v", err)
	}
}
