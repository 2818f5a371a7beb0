package pool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/sysroot"
)

// BaseMarker is the file in a root that is a base. It has what is fresh at each start, a job.Reset, in one line.
const BaseMarker = bootloader.BaseMarker

// resetOf reads the marker of a base. A text that is not known is that of a later version.
func resetOf(root sysroot.Dir) job.Reset {
	if !root.HasFile(BaseMarker) {
		return ""
	}
	b, _ := root.Read(BaseMarker)
	if strings.TrimSpace(string(b)) == string(job.ResetHome) {
		return job.ResetHome
	}
	return job.ResetSystem
}

// Fresh is a root that is a snapshot of a base.
type Fresh struct {
	Base    string
	Number  int // 1 or more; later ones have larger numbers
	Created time.Time
	Kernel  bool // it has one
	Runs    bool
	InUse   bool
	Ready   bool // GRUB starts it once: next, or after the one that is next
}

// Name is that of the root.
func (f Fresh) Name() string { return bootenv.FreshName(f.Base, f.Number) }

// setFresh moves the fresh roots of bases away from the other roots. What they do, their bases do.
func (c *Contents) setFresh() {
	bases := map[string]int{}
	var all []Root
	for _, r := range c.Roots {
		if r.Reset != "" {
			bases[r.Name] = len(all)
		}
		if _, fresh := c.base(r.Name); !fresh {
			all = append(all, r)
		}
	}
	for _, r := range c.Roots {
		base, ok := c.base(r.Name)
		if !ok {
			continue
		}
		_, n, _ := bootenv.CutFresh(r.Name)
		c.Fresh = append(c.Fresh, Fresh{Base: base, Number: n, Created: r.Created, Kernel: r.Kernel, Runs: r.Runs,
			InUse: r.InUse, Ready: base == c.env.Good && (n == c.env.Fresh || n == c.env.Spare)})
		b := &all[bases[base]]
		b.Runs, b.InUse = b.Runs || r.Runs, b.InUse || r.InUse
	}
	c.Candidate = c.system(c.Candidate)
	c.Roots = all
	slices.SortFunc(c.Fresh, func(a, b Fresh) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Number, b.Number))
	})
}

// base is the base of which a name is that of a fresh root.
func (c Contents) base(name string) (string, bool) {
	base, _, ok := bootenv.CutFresh(name)
	return base, ok && slices.ContainsFunc(c.Roots, func(r Root) bool { return r.Name == base && r.Reset != "" })
}

// system is the base of a fresh root, else the name itself.
func (c Contents) system(name string) string {
	if base, ok := c.base(name); ok {
		return base
	}
	return name
}

// fresh is a fresh root with a kernel, "" if there is none with this number.
func (c Contents) fresh(base string, number int) string {
	for _, f := range c.Fresh {
		if f.Base == base && f.Number == number && f.Kernel {
			return f.Name()
		}
	}
	return ""
}

// lostTrial says that the candidate is a fresh root which is gone, or has no kernel.
func (c Contents) lostTrial() bool {
	base, n, ok := bootenv.CutFresh(c.env.Candidate)
	return ok && base == c.Candidate && c.fresh(base, n) == ""
}

// Latest is the fresh root of a base with the largest number, nil for none.
func (c Contents) Latest(base string) *Fresh {
	for _, f := range slices.Backward(c.Fresh) {
		if f.Base == base {
			return &f
		}
	}
	return nil
}

// Waiting are the numbers of the fresh roots of the good base that GRUB starts, in their order: two at most.
func (c Contents) Waiting() []int {
	return slices.DeleteFunc([]int{c.env.Fresh, c.env.Spare}, func(n int) bool { return c.fresh(c.Good, n) == "" })
}

// Running is the fresh root that runs, nil for none.
func (c Contents) Running() *Fresh {
	for _, f := range c.Fresh {
		if f.Runs {
			return &f
		}
	}
	return nil
}

// Takes is the root, or the fresh root, that GRUB starts next. It is a base if that has no fresh root to start: then it
// only makes some. "" means that it is not known.
func (c Contents) Takes() string {
	name, try := c.Next()
	switch r, err := c.Root(name); {
	case err != nil || r.Reset == "":
		return name
	case try:
		return c.env.Candidate
	case name == c.Good:
		return cmp.Or(c.fresh(name, c.env.Fresh), c.fresh(name, c.env.Spare), name)
	}
	return name
}

// Spent are the fresh roots that no one needs: neither do they run or wait for their start, nor are they the latest of
// their base, which has what its next ones keep.
func (c Contents) Spent() []Fresh {
	return slices.DeleteFunc(slices.Clone(c.Fresh), func(f Fresh) bool {
		return f.InUse || f.Ready || f.Name() == c.env.Candidate || c.Latest(f.Base).Number == f.Number
	})
}

// DeleteSpent deletes the fresh roots that no one needs.
func (p *Pool) DeleteSpent() error {
	return p.change(func(c Contents) error {
		var errs error
		for _, f := range c.Spent() {
			errs = errors.Join(errs, p.deleteRoots([]string{f.Name()}))
		}
		return errs
	})
}

// Ready has GRUB start the fresh roots of a base with these numbers, each of them once, in this order. The base is the
// good root, or becomes it where GRUB would start no other one. All of the pool is durable before.
func (p *Pool) Ready(base string, next, spare int) error {
	return p.change(func(c Contents) error {
		r, err := c.Root(base)
		if err == nil {
			err = c.mayBoot(r)
		}
		for _, n := range []int{next, spare} {
			if err == nil && c.fresh(base, n) == "" {
				err = fmt.Errorf("starting fresh roots of %s: number %d: %w", Label(base), n, ErrUnknown)
			}
		}
		if err != nil {
			return err
		}
		if good, err := c.Root(c.Good); base != c.Good && err == nil && good.Kernel {
			return fmt.Errorf("starting fresh roots of %s: %w: the good root is %s", Label(base), ErrRefused,
				Label(c.Good))
		}
		e := bootenv.Env{Good: base, Fresh: next, Spare: spare}
		if c.Candidate != base {
			e.Candidate, e.Tries = c.env.Candidate, c.Tries
		}
		return p.write(c, e)
	})
}

// setGood is e with another good root, without the fresh roots of the one before.
func setGood(e bootenv.Env, name string) bootenv.Env {
	if e.Good != name {
		e.Good, e.Fresh, e.Spare = name, 0, 0
	}
	return e
}
