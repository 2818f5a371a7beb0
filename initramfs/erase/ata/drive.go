package ata

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Drive is an ATA disk.
type Drive struct {
	// Do carries out a command. The error says that the disk, or the way to it, refused it.
	Do    func(Command) (Answer, error)
	Pause time.Duration // between two looks at a sanitize; 0 means 2 seconds
}

// Abilities are what a Drive can do now.
type Abilities struct {
	Identity
	Sanitize []Action // the best first
	Running  bool     // a sanitize is under way
	Erase    bool     // SECURITY ERASE UNIT can be used
	Notes    []string // why something that it can do is not used, and what helps; sentences
	Hidden   uint64   // sectors behind its end, which only its own commands reach
}

// Look asks what the drive can do. It changes nothing.
func (d Drive) Look() (Abilities, error) {
	about := Command{Op: opIdentify, In: make([]byte, identitySize), Count: 1, Timeout: 10 * time.Second}
	if _, err := d.Do(about); err != nil {
		return Abilities{}, fmt.Errorf("asking it to identify itself: %w", err)
	}
	id, err := ReadIdentity(about.In)
	if err != nil {
		return Abilities{}, err
	}
	out := Abilities{Identity: id}
	for _, a := range []struct {
		can bool
		do  Action
	}{{id.Block, BlockErase}, {id.Crypto, CryptoScramble}, {id.Overwrite, Overwrite}} {
		if a.can {
			out.Sanitize = append(out.Sanitize, a.do)
		}
	}
	if len(out.Sanitize) > 0 {
		s, err := d.status()
		switch {
		case err != nil:
			out.Sanitize, out.Notes = nil, append(out.Notes, fmt.Sprintf("SANITIZE DEVICE is not used: %v", err))
		case s.Frozen:
			out.Sanitize, out.Notes = nil, append(out.Notes, "SANITIZE DEVICE is not used: the firmware of the "+
				"machine "+
				"froze it; switch the power of the drive off and on")
		default:
			out.Running = s.Running
		}
	}
	if id.Security {
		why := id.refuses()
		if out.Erase = why == ""; why != "" {
			out.Notes = append(out.Notes, "SECURITY ERASE UNIT is not used: "+why)
		}
	}
	if id.Hides {
		out.Hidden = d.hidden(id)
	}
	return out, nil
}

// refuses is why the drive would refuse a SECURITY ERASE UNIT, "" if it would not. One that is locked may have
// Password, of an erase that was interrupted, and is unlocked then.
func (id Identity) refuses() string {
	switch {
	case id.Frozen:
		return "the firmware of the machine froze the security of the drive, as most do at each start; unplug its " +
			"power " +
			"for some seconds while the machine is on, or let the machine sleep and wake up, then give it a new job"
	case id.Expired:
		return "too many wrong passwords were tried; switch the power of the drive off and on"
	}
	return ""
}

// hidden asks how many sectors are behind the end (READ NATIVE MAX ADDRESS EXT); 0 if the drive does not say.
func (d Drive) hidden(id Identity) uint64 {
	a, err := d.Do(Command{Op: opReadNativeMax, Device: 0x40, Extended: true, Answers: true, Timeout: 10 * time.Second})
	if err != nil || a.LBA+1 <= id.Sectors || id.Sectors == 0 {
		return 0
	}
	return a.LBA + 1 - id.Sectors
}

func (d Drive) status() (Status, error) {
	a, err := d.Do(sanitizeCommand(sanitizeStatus))
	if err != nil {
		return Status{}, fmt.Errorf("asking it how far its sanitize is: %w", err)
	}
	return readStatus(a), nil
}

// patience is how many questions in a row may fail: a drive may be deaf for a while.
const patience = 30

// Sanitize erases the whole drive, and waits for the end. With running it begins none, and waits for the one that is
// under way. report gets how much is done, 0 to 1. If ctx ends it returns, and the drive continues. When it returns
// nil, the data are lost.
func (d Drive) Sanitize(ctx context.Context, a Action, running bool, report func(float64)) error {
	if !running {
		if _, err := d.Do(sanitizeCommand(a)); err != nil {
			return fmt.Errorf("SANITIZE DEVICE: %w", err)
		}
	}
	pause := d.Pause
	if pause == 0 {
		pause = 2 * time.Second
	}
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		s, err := d.status()
		if err != nil {
			if failed++; failed > patience {
				return err
			}
			continue
		}
		failed = 0
		switch {
		case s.Running:
			report(s.Fraction)
		case s.Succeeded:
			report(1)
			return nil
		default:
			return errors.New("the drive reports that its sanitize did not succeed")
		}
	}
}

// SecurityErase erases the drive by SECURITY ERASE UNIT. It cannot be stopped. If the drive loses its power meanwhile,
// it is locked by Password; this unlocks it. When it returns nil, the data are lost and the drive has no password.
func (d Drive) SecurityErase(a Abilities, enhanced bool) error {
	const quick = 30 * time.Second
	limit := a.Normal
	if enhanced {
		limit = a.Enhance
	}
	// The time is the drive's guess, or is not known.
	limit = max(2*limit, 12*time.Hour)
	step := func(name string, c Command) error {
		if _, err := d.Do(c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if a.Locked {
		if err := step("SECURITY UNLOCK", security(opUnlock, false, quick)); err != nil {
			return fmt.Errorf("the drive is locked by a password that is not known: %w", err)
		}
	}
	if !a.Enabled {
		if err := step("SECURITY SET PASSWORD", security(opSetPassword, false, quick)); err != nil {
			return err
		}
	}
	err := step("SECURITY ERASE PREPARE", Command{Op: opErasePrepare, Timeout: quick})
	if err == nil {
		err = step("SECURITY ERASE UNIT", security(opEraseUnit, enhanced, limit))
	}
	if err != nil {
		// Without this the drive would be locked from its next start on.
		if e := step("SECURITY DISABLE PASSWORD", security(opDisablePassword, false, quick)); e != nil {
			return fmt.Errorf("%w; and its password %q is still set: %w", err, Password, e)
		}
	}
	return err
}
