package pool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/superblock"
)

// node is a partition of the machine.
type node struct {
	path   string // its device file
	disk   string // that of its disk
	number int
}

// nodes are the partitions of all disks, as sysfs at a path lists them.
func nodes(sys string) (out []node) {
	files, err := filepath.Glob(filepath.Join(sys, "class/block/*/partition"))
	if err != nil {
		return nil
	}
	dev := func(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }
	for _, f := range files {
		b, err := os.ReadFile(f)
		number, bad := strconv.Atoi(strings.TrimSpace(string(b)))
		at, gone := filepath.EvalSymlinks(filepath.Dir(f))
		if errors.Join(err, bad, gone) != nil {
			continue // it was taken away just now
		}
		out = append(out, node{dev(filepath.Base(at)), dev(filepath.Base(filepath.Dir(at))), number})
	}
	return out
}

// superOf reads the superblock in a partition.
func superOf(path string) (superblock.Super, error) {
	f, err := os.Open(path)
	if err != nil {
		return superblock.Super{}, fmt.Errorf("reading the superblock of the pool: %w", err)
	}
	defer f.Close()
	s, ok := superblock.Read(f)
	if !ok {
		return superblock.Super{}, fmt.Errorf("reading the superblock of the pool: %s has none that is whole", path)
	}
	return s, nil
}

// join finds the other disks of a mirror. The superblock says how many there are. A copy of a disk of the pool is none
// of them.
func (p *Place) join(all []node) {
	own, err := superOf(p.Pool)
	if err != nil || own.Devices == 1 {
		return
	}
	p.device, p.Missing = own.Device, own.Devices-1
	seen := map[uint64]bool{own.Device: true}
	for _, n := range all {
		if n.path, err = disk.Node(n.disk, sys, n.number); err != nil { // which makes it where it is missing
			continue
		}
		s, err := superOf(n.path)
		if err != nil || s.Filesystem != own.Filesystem || seen[s.Device] {
			continue
		}
		seen[s.Device] = true
		p.Missing--
		o, err := half(n, *p)
		if err != nil {
			o.noESP = err
		}
		o.device = s.Device
		p.Others = append(p.Others, o)
	}
	p.Missing = max(p.Missing, 0)
	slices.SortFunc(p.Others, func(a, b Place) int { return cmp.Compare(a.device, b.device) })
}

// half is what another disk has of a pool. Whether that has the mark of a finished install does not count: a power cut
// may have come between the marks of two disks.
func half(n node, of Place) (Place, error) {
	p := Place{Disk: n.disk, Job: of.Job, Pool: n.path}
	d, err := disk.Find(os.DirFS(sys), disk.Open, n.disk)
	if err != nil {
		return p, err
	}
	at := slices.IndexFunc(d.Partitions, func(q content.Partition) bool { return q.Number == n.number })
	if at < 0 {
		return p, fmt.Errorf("the table of %s has no partition %d", n.disk, n.number)
	}
	pool := content.Pool{Partition: d.Partitions[at], Mark: d.Partitions[at].Mark, Version: content.Shared}
	if pool.Mark.Job == "" {
		pool.Mark.Job = of.Job
	}
	found, err := in(n.disk, d, pool)
	if err != nil {
		return p, err
	}
	return found, nil
}

// options are those by which a pool on several disks is mounted.
func (p Place) options() (out []subvolume.Option) {
	for _, o := range p.Others {
		out = append(out, subvolume.Device(o.Pool))
	}
	if p.Missing > 0 {
		out = append(out, subvolume.Degraded)
	}
	return out
}

// halves are the disks that the pool is on, in an order that does not depend on which of them was asked for.
func (p Place) halves() []Place {
	all := append([]Place{p}, p.Others...)
	slices.SortStableFunc(all, func(a, b Place) int { return cmp.Compare(a.device, b.device) })
	return all
}
