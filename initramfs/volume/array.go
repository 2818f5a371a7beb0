package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"griddle/appliance/layout/plan"
)

// Array is a RAID 1 of the kernel, with metadata 1.2 and a bitmap, so that after a crash only what was being written is
// copied again. Each member has all data.
type Array struct {
	Name    string // in its metadata, and below /dev/md
	ID      string // UUID, with dashes
	Devices []string
	Size    int64 // bytes, whole KiB; at most those of the smallest device without plan.RaidOffset
}

// Node is its device file while it runs.
func (a Array) Node() string { return "/dev/md/" + a.Name }

// Make makes it on devices that have nothing of value, and starts it. The kernel copies the first device to the others
// in the background, also after a restart.
func (a Array) Make(ctx context.Context) error {
	if err := load(ctx, "md_mod", "raid1"); err != nil {
		return err
	}
	// The name is "any:NAME", which systems with any host name take for their own.
	args := []string{"--create", a.Node(), "--config=none", "--run", "--quiet", "--metadata=1.2", "--level=1",
		"--homehost=any", "--name=" + a.Name, "--uuid=" + a.ID, "--bitmap=internal",
		fmt.Sprintf("--data-offset=%dK", plan.RaidOffset>>10), fmt.Sprintf("--size=%d", a.Size>>10),
		fmt.Sprintf("--raid-devices=%d", len(a.Devices))}
	if err := run(ctx, Mdadm, append(args, a.Devices...)...); err != nil {
		return fmt.Errorf("making the array %s: %w", a.Name, err)
	}
	return nil
}

// Start starts it if it does not run. All its devices must be there: one that runs without one would have to copy all
// of it to that one later.
func (a Array) Start(ctx context.Context) error {
	if by, err := holders(a.Devices[0]); err != nil || len(by) > 0 {
		return err
	}
	if err := load(ctx, "md_mod", "raid1"); err != nil {
		return err
	}
	err := run(ctx, Mdadm, append([]string{"--assemble", a.Node(), "--config=none", "--uuid=" + a.ID}, a.Devices...)...)
	if err != nil {
		return fmt.Errorf("starting the array %s: %w", a.Name, errors.Join(err, a.Release(ctx)))
	}
	return nil
}

// Release stops it if it runs. What is made of it must be released before.
func (a Array) Release(ctx context.Context) error {
	stopped := map[string]bool{}
	for _, d := range a.Devices {
		by, err := holders(d)
		if err != nil {
			return err
		}
		for _, name := range by {
			if !strings.HasPrefix(name, "md") || stopped[name] {
				continue
			}
			stopped[name] = true
			if err := run(ctx, Mdadm, "--stop", "--config=none", "/dev/"+name); err != nil {
				return fmt.Errorf("stopping the array %s: %w", a.Name, err)
			}
		}
	}
	if err := os.Remove(a.Node()); err != nil && !errors.Is(err, os.ErrNotExist) { // without udev it stays
		return fmt.Errorf("stopping the array %s: %w", a.Name, err)
	}
	return nil
}
