package pool

import (
	"fmt"

	"griddle/initramfs/bootloader/bootenv"
)

// Next is the root that the boot loader starts next, and whether it does so on trial. "" means that it is not known.
func (c Contents) Next() (name string, try bool) {
	return c.Boots, c.Boots != "" && c.Boots == c.Candidate && c.Tries > 0
}

// CountStart counts a start of the root that boots next, as GRUB does, for a start that GRUB does not see. The answer
// says that the root is on trial. Other roots are refused. It is durable on return.
func (p *Pool) CountStart(name string) (try bool, err error) {
	err = p.change(func(c Contents) error {
		r, err := c.Root(name)
		if err == nil {
			err = c.mayBoot(r)
		}
		if err != nil {
			return err
		}
		next, on := c.Next()
		if r.Name != next {
			return fmt.Errorf("starting the root %s: %w: the boot loader starts %s", Label(r.Name), ErrRefused,
				Label(next))
		}
		if try = on; !on {
			return nil
		}
		return bootenv.Write(p.esp, bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries - 1})
	})
	return try, err
}

// UncountStart takes CountStart back, for a start on trial that did not happen.
func (p *Pool) UncountStart(name string) error {
	return p.change(func(c Contents) error {
		if c.Candidate != name || c.Tries >= bootenv.MaxTries || p.noESP != nil {
			return p.noESP
		}
		return bootenv.Write(p.esp, bootenv.Env{Good: c.Good, Candidate: c.Candidate, Tries: c.Tries + 1})
	})
}
