package install

import (
	"fmt"
	"path/filepath"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/divide"
	"griddle/initramfs/pool"
)

// half is a disk that the system starts from: the target, and of a mirror each of its disks.
type half struct {
	disk    job.Disk
	planned plan.Disk     // of a job with a layout
	bios    divide.Extent // where GRUB for BIOS goes; zero if there is no place
	pool    string        // device file of the pool's partition
	esp     divide.Place  // of a job with a layout
	espDir  string        // where the EFI system partition is mounted
}

// halves are the disks that the system starts from, the target first. They are known when the disks are divided.
func (w *work) halves() []half {
	out := []half{{disk: w.target, bios: w.parts.bios, pool: w.parts.pool, espDir: w.parts.espDir}}
	if w.divided == nil {
		return out
	}
	planned := w.divided.pools()
	out[0].planned, out[0].esp = w.divided.planned(), w.divided.made.ESP
	for i, s := range w.divided.made.Others {
		out = append(out, half{disk: s.Disk, planned: planned[i+1], bios: s.BIOS, pool: s.Pool.Node, esp: s.ESP,
			espDir: w.otherESP(i)})
	}
	return out
}

// otherESP is where the EFI system partition of another disk of a mirror is mounted.
func (w *work) otherESP(i int) string { return filepath.Join(w.o.Mount, fmt.Sprintf("esp%d", i+2)) }

// pools are the planned disks that the pool is on, or what the roots share: one, or those of a mirror.
func (d *divided) pools() (out []plan.Disk) {
	for _, planned := range d.plan.Disks {
		if slices.ContainsFunc(planned.After, func(p plan.Part) bool {
			return p.Use == layout.Pool || p.Use == layout.Persistent
		}) {
			out = append(out, planned)
		}
	}
	return out
}

// place is the new pool, for package pool.
func (w *work) newPool() pool.Place {
	all := w.halves()
	p := pool.Place{Job: w.spec.ID, Pool: all[0].pool, ESP: all[0].espDir}
	if w.divided != nil {
		p.Volume = w.divided.made.Pool.Volume
		_, p.Boot = w.divided.boot()
	}
	for _, h := range all[1:] {
		p.Others = append(p.Others, pool.Place{Job: w.spec.ID, Pool: h.pool, ESP: h.espDir})
	}
	return p
}
