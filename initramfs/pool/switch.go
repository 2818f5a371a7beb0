package pool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// Marker is the file in a root that proved itself.
const Marker = bootloader.Marker

// blessing is the unit of a root that calls Bless.
const blessing = "griddle-bless.service"

// How often GRUB may start a candidate that does not prove itself: one that never did, and one that did before.
const newTries, provenTries = 1, 2

// Dir is the path of the pool's top, for this process and those that it starts.
func (p *Pool) Dir() string { return p.dir }

// RootDir is the path of a root, for this process and those that it starts.
func (p *Pool) RootDir(name string) string {
	if own := p.own[name]; own != nil {
		return own.Dir()
	}
	return filepath.Join(p.dir, roots, name)
}

// ESP is the path where the EFI system partition is mounted, or the error why it is not.
func (p *Pool) ESP() (string, error) { return p.esp, p.noESP }

// Switch has the machine try a new root at its next start, once. If it does not prove itself, the start after that one
// takes the good root again. All of the pool is durable before the switch, and the switch is durable on return. The
// good root itself needs no try: then there is no candidate any more. Nor does a root where no other one starts. Of a
// base its latest fresh root is tried.
func (p *Pool) Switch(name string) error {
	return p.change(func(c Contents) error {
		f := c.Latest(name)
		if r, err := c.Root(name); err != nil || r.Reset == "" || f == nil {
			return p.try(c, name, name, newTries)
		}
		if f.Ready || f.Runs || !f.Kernel {
			return fmt.Errorf("trying %s: %w: it is not a new one with a kernel", Label(f.Name()), ErrRefused)
		}
		return p.try(c, name, f.Name(), newTries)
	})
}

// Boot has a root boot at the next start of the machine, and at all later ones if it proves itself. If it does not, the
// good root boots again: after one try, or after two if it proved itself before. A root of an earlier version, which
// has no unit that calls Bless, boots at all later starts. A root without a kernel is refused. The kernel's arguments
// stay. A base makes a fresh root at its next start, and restarts to try that.
func (p *Pool) Boot(name string) error {
	return p.change(func(c Contents) error {
		tries := newTries
		if r, err := c.Root(name); err == nil && !r.proves {
			tries = 0
		} else if r.Good {
			tries = provenTries
		}
		return p.try(c, name, name, tries)
	})
}

// try makes a root the candidate, or with no tries the good root. It is that as well where no other root starts: GRUB
// would start nothing after its tries. starts is the root itself, or a fresh root of it.
func (p *Pool) try(c Contents, name, starts string, tries int) error {
	r, err := c.Root(name)
	if err == nil {
		err = c.mayBoot(r)
	}
	if err != nil {
		return err
	}
	good := c.starts("", 0)
	if good == "" || good == r.Name || tries == 0 {
		e := setGood(c.env, r.Name)
		if _, n, fresh := bootenv.CutFresh(starts); starts != r.Name && fresh && e.Fresh == 0 {
			e.Fresh = n
		}
		e.Candidate, e.Tries = "", 0
		return p.write(c, e)
	}
	e := setGood(c.env, good)
	e.Candidate, e.Tries = cmp.Or(starts, r.Name), tries
	return p.write(c, e)
}

// write is the switch, after all of the pool is durable, and all that GRUB reads of an encrypted one.
func (p *Pool) write(c Contents, e bootenv.Env) error {
	if err := p.sync(); err != nil {
		return err
	}
	if err := p.convert(c); err != nil {
		return err
	}
	if err := p.copyKernels(c, e); err != nil {
		return err
	}
	return bootenv.WriteAll(p.dirs(), e)
}

// Convert makes a pool of an earlier version one of this version, that boots the same root with the same arguments.
func (p *Pool) Convert() error { return p.change(p.convert) }

// convert replaces the grub.cfg of an earlier version by one rename. One of the first format starts the root that it
// names, and does not look at grubenv; after the rename the same root starts.
func (p *Pool) convert(c Contents) error {
	if !c.conf.Old {
		if c.conf.PoolID == "" || c.conf.Script >= bootloader.Script { // none can be read, or it is as new
			return nil
		}
		return p.writeConfig(c.conf)
	}
	if err := bootenv.WriteAll(p.dirs(), bootenv.Env{Good: c.Good}); err != nil {
		return err
	}
	return p.writeConfig(c.conf)
}

// mayBoot is nil if the root can be booted.
func (c Contents) mayBoot(r Root) error {
	switch err := bootenv.CheckName(r.Name); {
	case c.Unread() != nil:
		return fmt.Errorf("booting the root %s: %w", Label(r.Name), c.Unread())
	case !r.Kernel:
		return fmt.Errorf("booting the root %s: %w: it has no kernel", Label(r.Name), ErrRefused)
	case err != nil:
		return fmt.Errorf("booting the root %s: %w: %w", Label(r.Name), ErrRefused, err)
	}
	return nil
}

// Bless says that a root proved itself: it is the good root from now on, and is marked as such. If it was the
// candidate, there is none any more; another candidate stays. The good root of before counts as proved as well: one of
// a pool of an earlier version has no marker, and gets one that is older.
func (p *Pool) Bless(name string) error {
	return p.change(func(c Contents) error {
		r, err := c.Root(name)
		if err == nil {
			err = c.mayBoot(r)
		}
		if err == nil {
			p.markFormer(c, r.Name)
			err = p.mark(r.Name, time.Now())
		}
		if err != nil {
			return err
		}
		e := setGood(c.env, r.Name)
		if c.Candidate == r.Name {
			e.Candidate, e.Tries = "", 0
		}
		return p.write(c, e)
	})
}

// markFormer marks the good root that another one follows, if it has no marker. The new marker is the newer one by the
// whole second that GRUB compares. A root that cannot be marked does not keep the next one from its blessing.
func (p *Pool) markFormer(c Contents, next string) {
	if r, err := c.Root(c.Good); err == nil && r.Name != next && !r.Good {
		_ = p.mark(r.Name, time.Now().Add(-time.Second))
	}
}

// mark writes the marker of a root. A new one each time: its time says which root proved itself last.
func (p *Pool) mark(name string, at time.Time) (err error) {
	dir := p.RootDir(name)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("marking the root %s: %w", Label(name), err)
	}
	defer root.Close()
	if resetOf(sysroot.Dir{Root: root}) != "" { // a base is read-only
		if err := subvolume.SetReadOnly(dir, false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, subvolume.SetReadOnly(dir, true)) }()
	}
	err = sysroot.Dir{Root: root}.Write(Marker, nil, 0o444)
	if err == nil {
		err = root.Chtimes(Marker, at, at)
	}
	if err != nil {
		return fmt.Errorf("marking the root %s: %w", Label(name), err)
	}
	return nil
}

// Failed is the candidate that was started as often as it may be, and does not run: it failed. "" means that none did.
// It stays until Forget, or until another root is the candidate.
func (p *Pool) Failed() (string, error) {
	c, err := p.Read()
	if err != nil || c.Candidate == "" || c.Tries > 0 {
		return "", err
	}
	if r, err := c.Root(c.Candidate); err == nil && r.Runs {
		return "", nil
	}
	return c.Candidate, nil
}

// Forget takes a candidate back, so that GRUB does not start it, and Failed does not name it. Other candidates stay.
func (p *Pool) Forget(name string) error {
	return p.change(func(c Contents) error {
		if c.Candidate == "" || c.Candidate != name {
			return p.noESP
		}
		e := c.env
		e.Candidate, e.Tries = "", 0
		return p.write(c, e)
	})
}
