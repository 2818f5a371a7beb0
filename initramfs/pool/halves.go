package pool

import (
	"errors"
	"os"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/subvolume"
)

// Half is one disk of a pool, with the EFI system partition from which the machine starts there. A pool that is not a
// mirror has one.
type Half struct {
	Place
	Dir string // where the EFI system partition is mounted; "" if it is not

	err error // why it is not
}

// openESPs mounts the EFI system partitions of all disks of the pool.
func (p *Pool) openESPs(mount func(node string) (*subvolume.Mounted, error)) {
	for _, place := range p.place.halves() {
		h := Half{Place: place}
		if st, err := os.Stat(place.ESP); place.ESP == "" {
			h.err = place.noESP
		} else if err == nil && st.IsDir() {
			h.Dir = place.ESP
		} else if m, err := mount(place.ESP); err != nil {
			h.err = err
		} else {
			h.Dir, p.close = m.Dir(), append(p.close, m.Close)
		}
		switch {
		case h.Dir == "":
			p.noESP = errors.Join(p.noESP, h.err)
		case p.esp == "":
			p.esp = h.Dir
		}
		p.halves = append(p.halves, h)
	}
	if p.esp != "" {
		p.noESP = nil
	}
}

// Halves are the disks of the pool that are in the machine.
func (p *Pool) Halves() []Half {
	if p.halves == nil {
		return []Half{{Place: p.place, Dir: p.esp}}
	}
	return p.halves
}

// Missing is how many disks of the pool are not in the machine.
func (p *Pool) Missing() int { return p.place.Missing }

// dirs are the EFI system partitions that are mounted, in their order.
func (p *Pool) dirs() (out []string) {
	for _, h := range p.Halves() {
		if h.Dir != "" {
			out = append(out, h.Dir)
		}
	}
	return out
}

// mirrored is c with the EFI system partitions of a mirror. While a disk is missing, those that c has stay.
func (p *Pool) mirrored(c bootloader.Config) bootloader.Config {
	if p.place.Missing > 0 && c.Mirror != nil {
		return c
	}
	var ids []string
	for _, h := range p.Halves() {
		id, err := disk.FATID(h.ESP)
		if err != nil {
			return c
		}
		ids = append(ids, id)
	}
	if p.place.Missing > 0 { // and its partition is not known: GRUB needs two names, and finds itself by both
		ids = append(ids, ids...)
	}
	if c.Mirror = nil; len(ids) > 1 {
		c.Mirror = ids[:bootloader.MaxMirror]
	}
	return c
}

// Each does something for each disk of the pool whose EFI system partition is mounted, with the configuration that
// GRUB has there after an install by a job. It succeeds if one of them does.
func (p *Pool) Each(c bootloader.Config, job string, do func(h Half, c bootloader.Config) error) error {
	if p.noESP != nil {
		return p.noESP
	}
	c = p.mirrored(c)
	var errs error
	done := false
	for _, h := range p.Halves() {
		if h.Dir == "" {
			continue
		}
		err := do(h, h.Config(c, job))
		done = done || err == nil
		errs = errors.Join(errs, err)
	}
	if done {
		return nil
	}
	return errs
}

// writeConfig writes grub.cfg on all disks of the pool.
func (p *Pool) writeConfig(c bootloader.Config) error {
	return p.Each(c, p.place.Job, func(h Half, c bootloader.Config) error {
		return bootloader.WriteConfig(h.Dir, c)
	})
}
