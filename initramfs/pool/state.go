package pool

import (
	"fmt"
	"os"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
)

// Mirror is how a pool on several disks is.
type Mirror struct {
	Disks  []subvolume.Disk // nil for a pool on one disk
	Single int64            // bytes that are on one disk only, because the other one was missing when they were written
}

// Mirror asks the kernel how the pool is.
func (p *Pool) Mirror() (m Mirror, err error) {
	if m.Disks, err = subvolume.Disks(p.dir); err != nil || len(m.Disks) < 2 {
		return Mirror{}, err
	}
	id, err := subvolume.Filesystem(p.dir)
	if err != nil {
		return Mirror{}, err
	}
	// The kernel keeps the name of a device that is gone.
	present := map[uint64]string{}
	for _, half := range p.place.halves() {
		present[half.device] = half.Pool
	}
	for i, d := range m.Disks {
		if m.Disks[i].Node = present[d.ID]; unused(uuid.UUID(id).String(), d.ID) {
			m.Disks[i].Node = ""
		}
	}
	m.Single, err = subvolume.Single(p.dir)
	return m, err
}

// unused says whether the kernel has mounted a filesystem without a device, which may be there again (Linux 5.6,
// fs/btrfs/sysfs.c).
func unused(filesystem string, device uint64) bool {
	b, err := os.ReadFile(fmt.Sprintf("/sys/fs/btrfs/%s/devinfo/%d/missing", filesystem, device))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

// Missing is the disk of a mirror that is missing, nil for none.
func (m Mirror) Missing() *subvolume.Disk {
	for i, d := range m.Disks {
		if d.Node == "" {
			return &m.Disks[i]
		}
	}
	return nil
}

// String says how a mirror is and what to do about it; "" for a pool on one disk.
func (m Mirror) String() string {
	var out, nodes []string
	for _, d := range m.Disks {
		if d.Node != "" {
			nodes = append(nodes, d.Node)
		}
		if d.Node != "" && d.Errors > 0 {
			out = append(out, fmt.Sprintf("%s HAD %d ERRORS: look at its cable, and replace it if there are more",
				d.Node, d.Errors))
		}
	}
	switch {
	case m.Disks == nil:
		return ""
	case m.Missing() != nil:
		out = append(out, fmt.Sprintf("A DISK IS MISSING: all data is on %s only; `griddle-agent mirror DISK` takes a "+
			"new disk in", strings.Join(nodes, " and ")))
	case m.Single > 0:
		out = append(out, fmt.Sprintf("%s are on one disk only: `griddle-agent mirror --repair` has them on both "+
			"again", job.Bytes(m.Single)))
	case len(out) == 0:
		out = append(out, fmt.Sprintf("%s have all data each", strings.Join(nodes, " and ")))
	}
	return strings.Join(out, "; ")
}

// Agree has all disks of a mirror say the same about what boots, and more than a disk says that is missing now: if that
// comes back, the machine starts from the others. The pool notes by which partitions the firmware starts from them, for
// Entries. A pool on one disk stays as it is. It is durable on return.
func (p *Pool) Agree() error {
	if len(p.Halves()) < 2 && p.place.Missing == 0 {
		return nil
	}
	return p.change(func(c Contents) error {
		if p.noESP != nil {
			return p.noESP
		}
		same := p.place.Missing == 0
		for _, dir := range p.dirs() {
			e, err := bootenv.Read(dir)
			same = same && err == nil && e == c.env
		}
		if !same || len(p.dirs()) != len(p.Halves()) {
			if err := bootenv.WriteAll(p.dirs(), c.env); err != nil {
				return err
			}
		}
		return p.noteLoaders()
	})
}
