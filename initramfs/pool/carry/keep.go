package carry

import (
	"context"
	"fmt"

	"griddle/initramfs/sysroot"
)

// Keep is Carry for a machine that is reset at each start: New, which is as t.Image, gets the joined domain of Old, and
// what is at the paths of list and of New's own lists. Nothing else goes to New.
func Keep(ctx context.Context, t Trees, list []string) (Report, error) {
	c := &carrier{Trees: t, old: sysroot.Dir{Root: t.Old}, to: sysroot.Dir{Root: t.New}}
	if err := c.keep(ctx, list); err != nil {
		return c.report, fmt.Errorf("carrying what a reset keeps: %w", err)
	}
	return c.report, ctx.Err()
}

func (c *carrier) keep(ctx context.Context, list []string) error {
	for _, at := range domain {
		if err := c.path(ctx, at); err != nil {
			return err
		}
	}
	own, err := c.read(c.to)
	if err != nil {
		return err
	}
	return c.listed(ctx, append(own, list...))
}
