package qemu

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/provider"
)

// fillServer puts a new server's disk, seed and firmware into dir.
func (q *QEMU) fillServer(ctx context.Context, dir string, r *record, w *provider.Server, p parts) error {
	virtual := max(p.image.Image.Virtual, w.Disk)
	if w.Disk != 0 && w.Disk < virtual {
		return fmt.Errorf("a root disk of %d bytes, and the image has %d: %w", w.Disk, virtual, provider.ErrInvalid)
	}
	if w.Disk == 0 {
		i := slices.IndexFunc(q.Config.Sizes, func(z provider.Size) bool { return z.Name == w.Size })
		virtual = max(virtual, q.Config.Sizes[i].Disk)
	}
	// Seen from where the server will be: the whole state can be moved to another place while nothing runs.
	backing := filepath.Join("..", "..", "..", "..", "images", p.image.digest(), imageDisk)
	cmd := exec.CommandContext(ctx, imageTool, "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", backing,
		serverDisk, strconv.FormatInt(virtual, 10))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("making its disk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if err := q.keep(filepath.Join(dir, serverDisk)); err != nil {
		return err
	}
	seed, err := newSeed(r, p.network, p.key, w.UserData)
	if err != nil {
		return err
	}
	if err := writeSeed(dir, seed); err != nil {
		return err
	}
	if r.Server.UEFI {
		if err := q.copyVariables(filepath.Join(dir, variables)); err != nil {
			return fmt.Errorf("giving it UEFI: %w; Debian has it in ovmf", err)
		}
	}
	return nil
}

// keep makes a file that another program wrote durable, and the owner's alone.
func (q *QEMU) keep(path string) error {
	f, err := q.Disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	return f.Sync()
}

// copyVariables makes UEFI's own memory, empty.
func (q *QEMU) copyVariables(path string) error {
	from, err := os.Open(filepath.Join(q.Firmware, "OVMF_VARS_4M.fd"))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := q.Disk.OpenFile(path, flagNew, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.Sync()
}
