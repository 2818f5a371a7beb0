package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// programs runs the tools, in a user namespace of its own where we are not root.
type programs struct {
	mapped bool
	now    int64 // what they take for the time, seconds since 1970
}

// packages says where the tools come from.
func packageOf(name string) string {
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

// call is how a program is run.
type call struct {
	inside bool // it reads or makes files of several owners
	stdin  io.Reader
	stdout io.Writer // nil: kept for the error, as far as it fits
}

// run runs a program to its end.
func (p programs) run(ctx context.Context, c call, name string, args ...string) error {
	if c.inside && p.mapped {
		args = append([]string{"--user", "--map-root-user", "--map-auto", "--", name}, args...)
		name = "unshare"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC0", "HOME=/nonexistent", "MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1",
		fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", p.now), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", p.now),
		"MKE2FS_CONFIG=/nonexistent", // what mke2fs was built with, whatever this computer likes
	}
	var out, stderr tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, c.stdout, &stderr
	if c.stdout == nil {
		cmd.Stdout = &out
	}
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("running %s: %w (Debian package %s)", name, err, packageOf(name))
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
