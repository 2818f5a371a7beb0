package pool

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// madeOf is the file in a root with the UUID of the image that it was made of. A root that replaced another one needs
// it: it is a snapshot of that one, and not of the image.
const madeOf = "usr/lib/griddle/made-of"

// Replace puts a changed snapshot of a root in its place. The snapshot is at dir/from, with dir in the pool; the
// former root is there afterwards. All of the pool is durable before, and the exchange on return: after a power cut
// one of the two has the name. A root that is mounted is refused.
func (p *Pool) Replace(name, dir, from string) error {
	return p.change(func(c Contents) error {
		r, err := c.Root(name)
		if err == nil && r.InUse {
			err = fmt.Errorf("replacing the root %s: %w: it is mounted", Label(r.Name), ErrRefused)
		}
		if err != nil {
			return err
		}
		if i, err := c.Image(r.Image); err == nil {
			if err := p.markMadeOf(filepath.Join(dir, from), i.Name); err != nil {
				return err
			}
		}
		if err := subvolume.Sync(p.dir); err != nil {
			return err
		}
		one, other := filepath.Join(dir, from), filepath.Join(p.dir, roots, r.Name)
		if err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("replacing the root %s: %w", Label(r.Name), os.NewSyscallError("renameat2", err))
		}
		return subvolume.Sync(p.dir)
	})
}

// markMadeOf writes madeOf into the root at a path.
func (p *Pool) markMadeOf(at, image string) error {
	i, err := subvolume.Read(filepath.Join(p.dir, images, image))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return fmt.Errorf("opening the root: %w", err)
	}
	defer root.Close()
	return sysroot.Dir{Root: root}.Write(madeOf, fmt.Appendf(nil, "%x\n", i.ID), 0o644)
}

// readMadeOf is the UUID that a root's file has; zero for none.
func readMadeOf(root *os.Root) (id subvolume.ID) {
	b, _ := sysroot.Dir{Root: root}.Read(madeOf)
	if b, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}
