package pool

import (
	"cmp"
	"errors"
	"fmt"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
)

// ErrNoneStarts is NoBoots of a pool whose files on the EFI system partition are whole.
var ErrNoneStarts = errors.New("the roots that GRUB would start have no kernel")

// Unread is why grub.cfg or grubenv could not be read, nil if they were. Then another root can be made to boot, also
// where none starts now.
func (c Contents) Unread() error {
	if errors.Is(c.NoBoots, ErrNoneStarts) {
		return nil
	}
	return c.NoBoots
}

// readConfig reads grub.cfg.
func (p *Pool) readConfig() (bootloader.Config, error) {
	if p.noESP != nil {
		return bootloader.Config{}, p.noESP
	}
	conf, err := bootloader.ReadConfig(p.esp)
	for _, dir := range p.dirs() {
		if err == nil {
			break
		}
		conf, err = bootloader.ReadConfig(dir)
	}
	if err != nil {
		return bootloader.Config{}, err
	}
	if _, ok := cutRoots(conf.Root); !ok {
		return bootloader.Config{}, fmt.Errorf("grub.cfg boots %q, which is not a root of the pool",
			job.Printable(conf.Root))
	}
	if p.place.Encrypted() && (conf.Boot == nil || conf.Boot.Volume != p.place.Volume) {
		return bootloader.Config{}, fmt.Errorf("grub.cfg does not say that the pool is in the encrypted volume %s; "+
			"`griddle-agent maintain bootloader` writes it again", p.place.Volume)
	}
	return conf, nil
}

// readEnv reads grubenv. One that is lost names no root, as it does for GRUB; and an old grub.cfg does not look at it.
func (p *Pool) readEnv(conf bootloader.Config) (bootenv.Env, error) {
	if p.noESP != nil {
		return bootenv.Env{}, p.noESP
	}
	if conf.Old {
		name, _ := cutRoots(conf.Root)
		return bootenv.Env{Good: name}, nil
	}
	e, err := bootenv.ReadAll(p.dirs())
	if errors.Is(err, bootenv.ErrDamaged) {
		return bootenv.Env{}, nil
	}
	return e, err
}

// setBoots finds the root that GRUB would start now, as grub.cfg does.
func (c *Contents) setBoots() {
	if c.NoBoots != nil {
		return
	}
	c.Boots = c.Good // which an old grub.cfg starts, whatever is in it
	if !c.conf.Old {
		c.Boots = c.starts(c.Candidate, c.Tries)
	}
	for i, r := range c.Roots {
		c.Roots[i].Boots = r.Name == c.Boots
		c.Roots[i].failed = r.Name == c.Candidate && c.Tries == 0 && !r.Runs
	}
	if c.Boots == "" {
		c.NoBoots = ErrNoneStarts
	}
}

// NextStarts says which root the next starts take, in a sentence for people.
func (c Contents) NextStarts() string {
	switch {
	case c.NoBoots != nil:
		return "Which root boots is not known: " + c.NoBoots.Error()
	case c.Boots != c.Candidate:
		return fmt.Sprintf("From the next start on, %s boots.", Label(c.Boots))
	case c.starts("", 0) == "":
		return fmt.Sprintf("The next start tries %s. There is no other root to start.", Label(c.Boots))
	}
	tries := "The next start tries"
	if c.Tries > 1 {
		tries = fmt.Sprintf("The next %d starts try", c.Tries)
	}
	return fmt.Sprintf("%s %s. If it does not prove itself, %s boots again.", tries, Label(c.Boots),
		Label(c.starts("", 0)))
}

// starts is the root that GRUB starts if there is this candidate: the candidate, else the good root, else the one that
// proved itself last, else that of grub.cfg; "" if none of them has a kernel. See script/pool.cfg of bootloader.
func (c Contents) starts(candidate string, tries int) string {
	kernel := func(name string) string {
		for _, r := range c.Roots {
			if r.Name == name && r.Kernel {
				return name
			}
		}
		return ""
	}
	if tries == 0 || candidate == c.Candidate && c.lostTrial() {
		candidate = ""
	}
	last, _ := cutRoots(c.conf.Root)
	return cmp.Or(kernel(candidate), kernel(c.Good), c.provedLast(), kernel(last))
}

// provedLast is the root with a kernel that proved itself last, "" for none.
func (c Contents) provedLast() string {
	var last Root
	for _, r := range c.Roots {
		if r.Good && r.Kernel && (last.Name == "" || r.marked.Unix() > last.marked.Unix()) {
			last = r
		}
	}
	return last.Name
}
