// Package disktest has what tests of disks share: programs of the host, loop devices, and disks that no computer has.
package disktest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tool runs a program of the host and returns what it printed.
func Tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run make deps", err)
	}
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// Image makes a file of n bytes and lets a program write to it.
func Image(t testing.TB, path string, n int64, command string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, n)); err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(command), path)
	Tool(t, args[0], args[1:]...)
}

// Loop attaches a loop device of n bytes and returns its path.
func Loop(t testing.TB, n int64, sectorSize int) string {
	t.Helper()
	dev := Attach(t, File(t, n), "--sector-size", fmt.Sprint(sectorSize))
	t.Cleanup(func() { Detach(t, dev) })
	return dev
}

// File makes a file of n bytes, all of them holes.
func File(t testing.TB, n int64) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(img, nil, 0o600), os.Truncate(img, n)); err != nil {
		t.Fatal(err)
	}
	return img
}

// Detach takes away a loop device and its partitions, and returns when the kernel has let go of it: programs of other
// tests look at all devices for a moment. It fails the test if something uses the device for longer.
func Detach(t testing.TB, dev string) {
	t.Helper()
	backing := filepath.Join("/sys/block", filepath.Base(dev), "loop/backing_file")
	file, err := os.ReadFile(backing)
	if err != nil {
		t.Errorf("detaching %s: it has no file: %v", dev, err)
		return
	}
	exec.Command("partx", "-d", dev).Run()
	if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
		t.Errorf("losetup -d %s: %v: %s", dev, err, out)
		return
	}
	for range 300 {
		if now, err := os.ReadFile(backing); err != nil || string(now) != string(file) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s is still in use: something on it is mounted", dev)
}

// Extent is a range of bytes.
type Extent struct{ From, To int64 }

// Filled is a disk of one byte everywhere, but for some places.
type Filled struct {
	With byte
	Size int64
	Odd  []Extent // bytes here are 0x41
	Read []Extent // what was asked for
	Wait time.Duration
	Fail int64 // reads that reach this byte fail, where it is not 0
}

func (f *Filled) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > f.Size {
		return 0, io.EOF
	}
	time.Sleep(f.Wait)
	to := at + int64(len(b))
	f.Read = append(f.Read, Extent{at, to})
	if f.Fail != 0 && at <= f.Fail && f.Fail < to {
		return 0, fmt.Errorf("sector %d: %w", f.Fail/512, os.ErrInvalid)
	}
	for i := range b {
		b[i] = f.With
	}
	for _, o := range f.Odd {
		for i := max(at, o.From); i < min(to, o.To); i++ {
			b[i-at] = 0x41
		}
	}
	return len(b), nil
}
