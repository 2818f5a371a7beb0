package machinetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Mirror is the base URL from which apt of this computer gets the packages of a suite, such as bookworm or
// bookworm-security (apt-get(8), indextargets). It is an error if apt has none.
func Mirror(ctx context.Context, suite string) (string, error) {
	out, err := Run(ctx, "apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages",
		"Component: main", "Codename: "+suite)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	if first == "" {
		return "", fmt.Errorf("the configuration of apt has no source of Debian %s", suite)
	}
	return first, nil
}

// Cached returns a file or directory of a cache. Where it is missing, build makes it in work, an empty directory of the
// same filesystem, and returns its path there. what names it in messages, and its lock: programs that want it at the
// same time wait for one another.
func Cached(cache, name, what string, log io.Writer, build func(work string) (made string, err error)) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the %s: %w", what, err)
	}
	unlock, err := Lock(filepath.Join(cache, what+".lock"))
	if err != nil {
		return "", fmt.Errorf("making the %s: %w", what, err)
	}
	defer unlock()
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(log, "making the %s (once; it is kept in %s)\n", what, cache)
	begun := time.Now()
	work, err := os.MkdirTemp(cache, "making-")
	if err != nil {
		return "", fmt.Errorf("making the %s: %w", what, err)
	}
	defer os.RemoveAll(work)
	made, err := build(work)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		return "", fmt.Errorf("making the %s: %w", what, err)
	}
	fmt.Fprintf(log, "the %s is made, in %.0f s\n", what, time.Since(begun).Seconds())
	return path, nil
}

// Lock takes a lock that other programs see, and waits for it.
func Lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
