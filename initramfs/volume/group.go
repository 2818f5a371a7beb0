package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/layout/plan"
)

// Group is a volume group of LVM, with extents of plan.Extent. Its first extent is at plan.GroupOffset of each device.
type Group struct {
	Name    string
	ID      string // UUID with dashes, of which those of its physical volumes are made: DeviceID
	Devices []string
}

// config is what lvm does other than by its default: there is no udev, and nothing is kept beside the devices. No event
// starts a volume: only Start does.
const config = `devices { use_devicesfile=0 } activation { udev_sync=0 udev_rules=0 monitoring=0 } ` +
	`backup { backup=0 archive=0 } global { event_activation=0 use_lvmpolld=0 }`

// lvm runs a command of lvm, which sees the devices of the group and no other one.
func (g Group) lvm(ctx context.Context, command string, args ...string) error {
	if err := load(ctx, "dm_mod"); err != nil {
		return err
	}
	return run(ctx, LVM, slices.Concat([]string{command, "--config", config, "--devices", strings.Join(g.Devices, ","),
		"--yes", "--quiet"}, args)...)
}

// DeviceID is the UUID of the physical volume on device number i, as LVM writes it (lib/uuid/uuid.c): the UUID of the
// group, with its last two digits replaced by the number.
func (g Group) DeviceID(i int) string {
	digits := strings.ReplaceAll(g.ID, "-", "")
	digits = digits[:len(digits)-2] + fmt.Sprintf("%02d", i)
	var out []string
	for _, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		out, digits = append(out, digits[:n]), digits[n:]
	}
	return strings.Join(out, "-")
}

// Make makes it on devices that have nothing of value. It has no volumes then.
func (g Group) Make(ctx context.Context) error {
	for i, d := range g.Devices {
		if err := g.lvm(ctx, "pvcreate", "--norestorefile", "--uuid", g.DeviceID(i), "--dataalignment",
			fmt.Sprintf("%dk", plan.GroupOffset>>10), "--metadatasize", fmt.Sprintf("%dk", plan.GroupOffset>>10-4),
			d); err != nil {
			return fmt.Errorf("making the volume group %s: %w", g.Name, err)
		}
	}
	args := []string{"--physicalextentsize", fmt.Sprintf("%dk", plan.Extent>>10), g.Name}
	if err := g.lvm(ctx, "vgcreate", append(args, g.Devices...)...); err != nil {
		return fmt.Errorf("making the volume group %s: %w", g.Name, err)
	}
	return nil
}

// Node is the device file of a volume of the group while that is started.
func (g Group) Node(name string) string { return filepath.Join("/dev", g.Name, name) }

// Add makes a volume of size bytes, whole extents, and starts it. What it has is not known. The group is started; if it
// has a volume of this name, that is made again.
func (g Group) Add(ctx context.Context, name string, size int64) error {
	if _, err := os.Stat(g.Node(name)); err == nil {
		if err := g.lvm(ctx, "lvremove", g.Name+"/"+name); err != nil {
			return fmt.Errorf("making the volume %s again: %w", name, err)
		}
	}
	err := g.lvm(ctx, "lvcreate", "--zero", "n", "--wipesignatures", "n", "--size", fmt.Sprintf("%db", size), "--name",
		name, g.Name)
	if err != nil {
		return fmt.Errorf("making the volume %s: %w", name, err)
	}
	return nil
}

// Start starts its volumes.
func (g Group) Start(ctx context.Context) error {
	if err := g.lvm(ctx, "vgchange", "--activate", "y", g.Name); err != nil {
		return fmt.Errorf("starting the volume group %s: %w", g.Name, err)
	}
	return nil
}

// Release stops its volumes if any of them runs.
func (g Group) Release(ctx context.Context) error {
	running := false
	for _, d := range g.Devices {
		by, err := holders(d)
		if errors.Is(err, os.ErrNotExist) {
			continue // an array that does not run
		}
		if err != nil {
			return err
		}
		running = running || slices.ContainsFunc(by, func(name string) bool { return strings.HasPrefix(name, "dm-") })
	}
	if !running {
		return nil
	}
	if err := g.lvm(ctx, "vgchange", "--activate", "n", g.Name); err != nil {
		return fmt.Errorf("stopping the volume group %s: %w", g.Name, err)
	}
	return nil
}
