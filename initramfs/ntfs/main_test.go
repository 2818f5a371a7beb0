package ntfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"griddle/initramfs/mounttest"
	"griddle/initramfs/ntfs/ntfstest"

	"golang.org/x/sys/unix"
)

// TestMain keeps the disks of tests in memory, where a copy of one is fast.
func TestMain(m *testing.M) {
	if device := os.Getenv(shrinkIt); device != "" {
		shrinks(device)
	}
	mounttest.Own()
	dir, err := os.MkdirTemp("", "ntfs-*")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "")
	}
	if err = errors.Join(err, os.Setenv("TMPDIR", dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(unix.Unmount(dir, 0), os.Remove(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// windows is the volume that most tests copy, with its files.
type windows struct {
	volume ntfstest.Volume
	files  map[string]string
}

var theWindows struct {
	sync.Mutex
	windows
}

// base makes the volume once.
func base(t *testing.T) windows {
	t.Helper()
	theWindows.Lock()
	defer theWindows.Unlock()
	if theWindows.files == nil {
		v := ntfstest.Make(t, 512)
		theWindows.files = v.Files(t)
		v.Detach(t)
		theWindows.volume = ntfstest.Volume{Disk: filepath.Join(os.TempDir(), "windows"), Sector: 512}
		if err := os.Rename(v.Disk, theWindows.volume.Disk); err != nil {
			t.Fatal(err)
		}
	}
	return theWindows.windows
}

// fresh is a copy of the volume.
func fresh(t *testing.T) *ntfstest.Volume {
	t.Helper()
	b := base(t)
	return b.volume.Copy(t, ntfstest.Size)
}

// book is a journal in memory. It fails at the step fail.
type book struct {
	entries []Entry
	fail    Step
}

var errBook = errors.New("the server is away")

func (b *book) Record(_ context.Context, e Entry) error {
	if e.Step == b.fail {
		return errBook
	}
	b.entries = append(b.entries, e)
	return nil
}

// steps are those of the entries.
func (b *book) steps() []Step {
	var list []Step
	for _, e := range b.entries {
		list = append(list, e.Step)
	}
	return list
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
