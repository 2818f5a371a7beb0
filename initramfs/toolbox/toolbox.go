// Package toolbox gets the tools archive of the boot image: programs and kernel modules that few machines need, so that
// they are not in the image itself.
//
// Fill a Box and call Need with the programs that are needed, or Fetch for all. The archive comes from the site's
// server over plain HTTP. It is unpacked only if it has the SHA-256 that the boot image says, so that it is trusted as
// much as the image. It is unpacked into the memory of the machine, where the image itself is, once.
//
// It guarantees: no file of the boot image is replaced but the tables of the kernel's modules, which mkboot sees to;
// each file is under its name when it is whole; what failed can be repeated. Several processes may call it at the same
// time: one of them gets the archive, the others wait for it.
//
// Sources: Documentation/driver-api/early-userspace/buffer-format.rst of Linux for the "newc" form of cpio; RFC 8878
// for zstd.
package toolbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griddle/initramfs"
)

// Errors that callers tell apart, wrapped by those of Need and Fetch.
var (
	// ErrUnreachable is for what may work a little later: the server did not answer, or stopped in the middle.
	ErrUnreachable = errors.New("the tools archive could not be fetched")
	// ErrNone is for a boot image that names no tools archive.
	ErrNone = errors.New("this boot image has no tools archive; it was made by an earlier version of Griddle, or not " +
		"as a whole: make it again with `make boot` on the server, and boot again from the network")
)

// StateDir is where a machine notes that its tools archive is there, see Box.State.
const StateDir = "/run/griddle-tools"

// Box is the tools archive of a boot image, and where it comes from and goes to.
type Box struct {
	Archive *initramfs.Archive // as the boot image has it; nil if it has none
	Server  string             // base URL of the server's boot files, "http://10.0.0.1:8080"
	CA      []byte             // PEM; programs that use TLS trust it too; may be nil
	Client  *http.Client       // nil means one that gives up on a server that is silent for 30 seconds

	Root  string // where the files go, "/"
	State string // a folder in memory, for the lock and the mark that all is there: StateDir

	Tell     func(text string)       // what is fetched, why, and how large it is; may be nil
	Progress func(done, total int64) // bytes of the archive; may be nil

	memory func() (int64, error) // for tests: bytes that programs can have
}

// Need sees to it that programs can be run, each by its name or path. It fetches the archive if one of them is missing.
// An error says what is missing, why, and what helps.
func (b *Box) Need(ctx context.Context, programs ...string) error {
	missing := absent(programs)
	if len(missing) == 0 {
		return nil
	}
	if err := b.fetch(ctx, strings.Join(missing, ", ")); err != nil {
		return fmt.Errorf("%s: not in the boot image: %w", strings.Join(missing, ", "), err)
	}
	if missing = absent(programs); len(missing) > 0 {
		return fmt.Errorf("%s: neither in the boot image nor in its tools archive; make the boot image again with a "+
			"newer version of Griddle", strings.Join(missing, ", "))
	}
	return nil
}

// absent are the programs that cannot be run.
func absent(programs []string) []string {
	return slices.DeleteFunc(slices.Clone(programs), func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
}

// Fetch gets the whole archive, unless it is there already.
func (b *Box) Fetch(ctx context.Context) error { return b.fetch(ctx, "") }

// Has says whether the whole archive is there.
func (b *Box) Has() bool {
	if b.Archive == nil {
		return false
	}
	mark, err := os.ReadFile(b.mark())
	return err == nil && string(mark) == b.Archive.SHA256
}

// URL is where the archive comes from.
func (b *Box) URL() string { return b.Server + "/boot/" + initramfs.ToolsDir + "/" + b.Archive.Name() }

func (b *Box) mark() string { return filepath.Join(b.State, "unpacked") }

// fetch is Fetch, with the programs for which it is.
func (b *Box) fetch(ctx context.Context, why string) error {
	if b.Archive == nil {
		return ErrNone
	}
	if !b.Archive.Valid() {
		return fmt.Errorf("the boot image names a tools archive that cannot exist (%+v); make the boot image again",
			*b.Archive)
	}
	if err := os.MkdirAll(b.State, 0o700); err != nil {
		return fmt.Errorf("fetching the tools archive: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.State, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if b.Has() {
		return nil
	}
	if err := b.room(); err != nil {
		return err
	}
	if b.Tell != nil {
		text := fmt.Sprintf("fetching the tools archive, %.1f MB, from %s", float64(b.Archive.Size)/1e6, b.Server)
		if why != "" {
			text += ": " + why + " is not in the boot image"
		}
		b.Tell(text)
	}
	file, err := b.download(ctx)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := b.unpack(ctx, file); err != nil {
		return fmt.Errorf("unpacking the tools archive: %w", err)
	}
	if err := b.trust(); err != nil {
		return err
	}
	// A process that is killed here leaves no mark, or a whole one.
	temporary := b.mark() + ".new"
	if err := os.WriteFile(temporary, []byte(b.Archive.SHA256), 0o600); err != nil {
		return fmt.Errorf("noting that the tools archive is there: %w", err)
	}
	return os.Rename(temporary, b.mark())
}

// lock is taken by one process at a time.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("fetching the tools archive: %w", err)
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			f.Close()
			return nil, fmt.Errorf("fetching the tools archive: locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for the tools archive: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
