// Package program runs the tools that make a disk (tar, mke2fs, mkfs.btrfs, qemu-img and others), so that they give the
// same bytes each time: with a fixed time, locale and configuration, and in a user namespace if the caller is not root.
//
// Call Runner.Run. Its error has what the tool said, and the Debian package of a tool that is missing.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Runner runs tools. The zero value runs them as they are.
type Runner struct {
	Mapped bool  // run what needs several owners (Call.Inside) in a user namespace with those that /etc/subuid gives
	Now    int64 // the time that tools write into filesystems, seconds since 1970
}

// PackageOf names the Debian package of a tool.
func PackageOf(name string) string {
	switch name {
	case "mke2fs", "debugfs", "dumpe2fs":
		return "e2fsprogs"
	case "mkfs.btrfs":
		return "btrfs-progs"
	case "mkfs.vfat":
		return "dosfstools"
	case "mmd", "mcopy":
		return "mtools"
	case "qemu-img":
		return "qemu-utils"
	case "dpkg-deb":
		return "dpkg"
	case "depmod":
		return "kmod"
	case "unshare":
		return "util-linux, and uidmap for newuidmap"
	}
	return name
}

// Call says how a tool is run.
type Call struct {
	Inside bool // it reads or makes files of several owners
	Stdin  io.Reader
	Stdout io.Writer // nil: its end is kept for the error
}

// Run runs a tool until it ends.
func (p Runner) Run(ctx context.Context, c Call, name string, args ...string) error {
	if c.Inside && p.Mapped {
		args = append([]string{"--user", "--map-root-user", "--map-auto", "--", name}, args...)
		name = "unshare"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC0", "HOME=/nonexistent",
		"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1", fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", p.Now),
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", p.Now),
		"MKE2FS_CONFIG=/nonexistent", // what mke2fs was built with, whatever this computer likes
	}
	var out, stderr Tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, &stderr
	if c.Stdout == nil {
		cmd.Stdout = &out
	}
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("running %s: %w (Debian package %s)", name, err, PackageOf(name))
	}
	said := strings.TrimSpace(string(stderr))
	if said == "" {
		said = strings.TrimSpace(string(out))
	}
	if name == "unshare" && strings.Contains(said, "newuidmap") {
		said += " (an ordinary user needs lines in /etc/subuid and /etc/subgid)"
	}
	return fmt.Errorf("running %s: %w: %s", name, err, said)
}

// RemoveTree removes a directory with files of several owners.
func (p Runner) RemoveTree(ctx context.Context, dir string) error {
	if !p.Mapped {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing unpacked image: %w", err)
		}
		return nil
	}
	// Also when the caller has given up: nobody else can remove it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	return p.Run(ctx, Call{Inside: true}, "rm", "-rf", "--one-file-system", "--", dir)
}

// Tail keeps the last 2 KiB that are written to it.
type Tail []byte

const tailSize = 2 << 10

func (t *Tail) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	if len(*t) > tailSize {
		*t = append((*t)[:0], (*t)[len(*t)-tailSize:]...)
	}
	return len(b), nil
}
