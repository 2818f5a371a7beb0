package update

import (
	"context"
	"fmt"
	"os"

	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/carry"
	"griddle/initramfs/rootfs"
	"griddle/initramfs/sysroot"
)

// refreshOwn is Refresh for a new root that is a partition. There is no snapshot of it, so that it is changed itself;
// meanwhile the machine starts the old one. After an error or a power cut it stays with that, and the update has
// failed: nothing half handed over starts.
func refreshOwn(ctx context.Context, p *pool.Pool, what refresh) ([]string, error) {
	next, err := os.OpenRoot(p.RootDir(what.Root))
	if err != nil {
		return nil, err
	}
	defer next.Close()
	before, err := rootfs.OpenBefore(next)
	if err != nil || before == nil {
		return nil, err // an earlier version made the root
	}
	defer before.Close()
	old, err := os.OpenRoot(p.RootDir(what.Old))
	if err != nil {
		return nil, err
	}
	defer old.Close()
	if err := p.Forget(what.Root); err != nil {
		return nil, err
	}
	r, err := carry.Carry(ctx, carry.Trees{Old: old, Image: before, New: next}, what.Keep)
	if err == nil && what.Hostname != "" {
		err = newroot.Rename(sysroot.Dir{Root: next}, what.Hostname)
	}
	if err == nil {
		err = p.Switch(what.Root) // after all of it is durable
	}
	if err != nil {
		return r.Carried, fmt.Errorf("handing over to %s what changed: %w; the machine keeps %s: order the update "+
			"again", pool.Label(what.Root), err, pool.Label(what.Old))
	}
	return r.Carried, nil
}

// own says whether the new root is a partition.
func (r refresh) own(c pool.Contents) bool {
	next, err := c.Root(r.Root)
	return err == nil && next.Own
}
