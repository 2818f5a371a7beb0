package mounts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// blkid is the program of util-linux, which u-root's does not replace: it has no -U.
const blkid = "/sbin/blkid"

// searchTime is how long the search of all disks may take: a hard disk that sleeps needs some seconds to wake up.
const searchTime = time.Minute

// Node is the device file of a filesystem: where udev says, and without udev where blkid finds it on the disks. It is
// fs.ErrNotExist if no disk has it.
func (m Mount) Node(ctx context.Context) (string, error) {
	if m.Volume != "" {
		return m.opened()
	}
	if node, err := filepath.EvalSymlinks("/dev/disk/by-uuid/" + m.UUID); err == nil {
		return node, nil
	}
	limited, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	out, err := exec.CommandContext(limited, blkid, "-U", m.UUID).Output()
	if node := strings.TrimSpace(string(out)); err == nil && node != "" {
		return node, nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 || err == nil { // blkid(8): 2 if it is not found
		err = fs.ErrNotExist
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for the %s with UUID %s, which this machine mounts: no disk has it: %w",
			m.Filesystem, m.UUID, fs.ErrNotExist)
	}
	return "", fmt.Errorf("looking for the %s with UUID %s: %w", m.Filesystem, m.UUID, err)
}
