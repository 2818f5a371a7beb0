package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"griddle/cloud/diskimage/program"
	"griddle/imagestore/durable"
)

// Unpack unpacks a kernel's Debian package, such as linux-image-6.1.0-39-cloud-amd64, below dir, once for each content:
// a second call finds what the first made. It is there whole or not at all: syncfs(2) comes before the rename, and
// fsync(2) of dir after it. A file that is not a package of one kernel is an error. It needs dpkg-deb(1) and depmod(8)
// (Debian packages dpkg, kmod).
func Unpack(ctx context.Context, deb, dir string) (*Kernel, error) {
	k, err := unpack(ctx, deb, dir)
	if err != nil {
		return nil, fmt.Errorf("unpacking the kernel %s: %w", deb, err)
	}
	return k, nil
}

func unpack(ctx context.Context, deb, dir string) (*Kernel, error) {
	digest, err := digestOfFile(deb)
	if err != nil {
		return nil, err
	}
	var d durable.Disk
	if err := d.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := d.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	to := filepath.Join(dir, digest)
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = os.Chtimes(to, time.Time{}, time.Now()) // by which ShrinkKernels sees what is used
		}
		return &Kernel{Dir: to}, err
	}
	// The lock is ours: whoever began one of these is dead.
	work := filepath.Join(dir, ".unpacking")
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := (program.Runner{}).Run(ctx, program.Call{}, "dpkg-deb", "--extract", deb, work); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(work, "lib", "modules")); errors.Is(err, fs.ErrNotExist) { // Debian 13 and later
		if err := os.MkdirAll(filepath.Join(work, "lib"), 0o755); err != nil {
			return nil, err
		}
		if err := os.Rename(filepath.Join(work, "usr", "lib", "modules"),
			filepath.Join(work, "lib", "modules")); err != nil {
			return nil, fmt.Errorf("it is not a package of one kernel: %w", err)
		}
	}
	release, err := kernelRelease(work)
	if err != nil {
		return nil, fmt.Errorf("it is not a package of one kernel: %w", err)
	}
	if err := (program.Runner{}).Run(ctx, program.Call{}, "depmod", "-b", work, release); err != nil {
		return nil, err
	}
	if err := syncAll(work); err != nil {
		return nil, err
	}
	if err := d.Rename(work, to); err != nil {
		return nil, err
	}
	return &Kernel{Dir: to}, d.SyncDir(dir)
}

// digestOfFile is the SHA-256 of a file, 64 hex digits.
func digestOfFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// syncAll makes durable what is on the filesystem of dir: thousands of modules, for which one call is
// quicker than one each.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
