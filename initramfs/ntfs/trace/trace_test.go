package trace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("/bin/sh", "-c", "kill -USR1 $$ || exit 8; exit 7")
	cmd.Stdout = out
	seen := map[uint64]int{}
	status, err := Run(cmd, func(c Call) error {
		if c.PID != cmd.Process.Pid {
			t.Errorf("a call of %d, the program is %d", c.PID, cmd.Process.Pid)
		}
		seen[c.Number]++
		return nil
	})
	// A signal reaches the program: USR1 ends a shell.
	if err != nil || !status.Signaled() || status.Signal() != syscall.SIGUSR1 {
		t.Errorf("Run = %v, %v", status, err)
	}
	if seen[unix.SYS_KILL] != 1 {
		t.Errorf("kill(2) was seen %d times", seen[unix.SYS_KILL])
	}
}

func TestStatus(t *testing.T) {
	status, err := Run(exec.Command("/bin/sh", "-c", "exit 7"), func(Call) error { return nil })
	if err != nil || !status.Exited() || status.ExitStatus() != 7 {
		t.Errorf("Run = %v, %v", status, err)
	}
	if _, err := Run(exec.Command("/nonexistent"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run of a program that is missing = %v", err)
	}
}

// TestKilled: a program that is killed while it is stopped has ended by that signal.
func TestKilled(t *testing.T) {
	for range 20 {
		status, err := Run(exec.Command("/bin/sh", "-c", "exit 7"), func(c Call) error {
			if c.Number == unix.SYS_EXIT_GROUP {
				return unix.Kill(c.PID, unix.SIGKILL)
			}
			return nil
		})
		if err != nil || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("Run = %v, %v", status, err)
		}
	}
}

// TestRefused kills a program before a call.
func TestRefused(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	refused := errors.New("no")
	cmd := exec.Command("/bin/echo", "a line")
	cmd.Stdout = out
	_, err = Run(cmd, func(c Call) error {
		if c.Number == unix.SYS_WRITE && c.Args[0] == 1 {
			return refused
		}
		return nil
	})
	if !errors.Is(err, refused) {
		t.Errorf("Run = %v", err)
	}
	if b, err := os.ReadFile(out.Name()); err != nil || len(b) > 0 {
		t.Errorf("it wrote %q, %v", b, err)
	}
	if err := unix.Kill(cmd.Process.Pid, 0); cmd.Process.Pid > 0 && err == nil {
		t.Error("it still runs")
	}
}
