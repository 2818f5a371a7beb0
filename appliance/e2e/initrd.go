package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/initramfs"
	"griddle/initramfs/kernel/tree"
)

// SmallInitrd gives the container's kernel the initrd that a kernel image has, which starts faster.
func (c *Container) SmallInitrd(ctx context.Context) error {
	err := func() error {
		found, err := filepath.Glob(filepath.Join(c.Root, "boot", "vmlinuz-*"))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("it has %d kernels, not one", len(found))
		}
		release := filepath.Base(found[0])[len("vmlinuz-"):]
		deb, err := fetchPackage(ctx, filepath.Join(c.room.opt.Cache, "debs"), "linux-image-"+release)
		if err != nil {
			return err
		}
		program, err := os.ReadFile(filepath.Join(c.room.opt.BootDir, initramfs.FirstRoot))
		if err != nil {
			return err
		}
		work := c.room.path("kernel")
		defer os.RemoveAll(work)
		if _, err := tree.Make(ctx, deb, program, work); err != nil {
			return err
		}
		name := filepath.Join("boot", "initrd.img-"+release)
		return errors.Join(os.Remove(filepath.Join(c.Root, name)),
			copyFile(filepath.Join(c.Root, name), filepath.Join(work, name)))
	}()
	if err != nil {
		return fmt.Errorf("giving container %s a small initrd: %w", c.Name, err)
	}
	c.room.logf("container %s has a small initrd", c.Name)
	return nil
}
