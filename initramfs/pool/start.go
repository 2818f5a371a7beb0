package pool

import (
	"fmt"

	"griddle/initramfs/bootloader/bootenv"
)

// Next is the root that the boot loader starts next, and whether it does so on trial. "" means that it is not known.
func (c Contents) Next() (name string, try bool) {
	return c.Boots, c.Boots != "" && c.Boots == c.Candidate && c.Tries > 0
}

// CountStart counts a start of the root that Takes names, as GRUB does, for a start that GRUB does not see. The answer
// says that the root is on trial. Other roots are refused. It is durable on return.
func (p *Pool) CountStart(name string) (try bool, err error) {
	err = p.change(func(c Contents) error {
		r, err := c.Root(c.system(name))
		if err == nil {
			err = c.mayBoot(r)
		}
		if err != nil {
			return err
		}
		if next := c.Takes(); name != next {
			return fmt.Errorf("starting the root %s: %w: the boot loader starts %s", Label(name), ErrRefused,
				Label(next))
		}
		if r.Reset != "" && name == r.Name {
			return fmt.Errorf("starting the root %s: %w: it is a base, which only makes fresh roots", Label(name),
				ErrRefused)
		}
		e := c.env
		_, try = c.Next()
		switch {
		case try:
			e.Tries--
		case r.Reset == "":
			return nil
		case name == bootenv.FreshName(r.Name, e.Fresh):
			e.Fresh, e.Spare = e.Spare, 0
		default:
			e.Fresh, e.Spare = 0, 0
		}
		return bootenv.WriteAll(p.dirs(), e)
	})
	return try, err
}

// UncountStart takes CountStart back, for a start on trial that did not happen. name is that of CountStart.
func (p *Pool) UncountStart(name string) error {
	return p.change(func(c Contents) error {
		if c.env.Candidate != name || c.Tries >= bootenv.MaxTries || p.noESP != nil {
			return p.noESP
		}
		e := c.env
		e.Tries++
		return bootenv.WriteAll(p.dirs(), e)
	})
}
