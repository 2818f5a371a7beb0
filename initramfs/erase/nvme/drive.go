package nvme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Drive is a namespace of an NVMe disk.
type Drive struct {
	// Do carries out a command. A status that is not 0 is the disk's refusal (NVM Express 1.4 section 4.6.1).
	Do        func(Command) (status uint16, err error)
	Namespace uint32
	Pause     time.Duration // between two looks at the log; 0 means 2 seconds
}

// Abilities are what a Drive can do without harm to other disks.
type Abilities struct {
	Sanitize []Action // the best first
	Format   []SecureErase
	Notes    []string // why something that it can do is not used; sentences
	Running  Action   // a Sanitize that is under way, 0 for none

	formatted Formatted
}

// Look asks what the drive can do. It changes nothing.
func (d Drive) Look() (Abilities, error) {
	var out Abilities
	about := identify(1, 0)
	if err := d.do(about); err != nil {
		return out, err
	}
	c, err := ReadController(about.Data)
	if err != nil {
		return out, err
	}
	if !c.Format && !c.Block && !c.Crypto && !c.Overwrite {
		return out, nil
	}
	alone, err := d.alone(c)
	if err != nil {
		return out, err
	}
	for _, a := range []struct {
		can bool
		do  Action
	}{{c.Block, BlockErase}, {c.Crypto, CryptoErase}, {c.Overwrite, Overwrite}} {
		if a.can {
			out.Sanitize = append(out.Sanitize, a.do)
		}
	}
	if len(out.Sanitize) > 0 && !alone {
		out.Sanitize = nil
		out.Notes = append(out.Notes, "Sanitize is not used: the drive has other namespaces, and it would erase "+
			"them too")
	}
	if len(out.Sanitize) > 0 {
		s, err := d.status()
		if err != nil {
			return out, err
		}
		if s.State == Running {
			out.Running = s.Action
		}
	}
	return out, d.lookFormat(c, alone, &out)
}

func (d Drive) lookFormat(c Controller, alone bool, out *Abilities) error {
	switch {
	case !c.Format || out.Running != 0:
		return nil
	case c.FormatsAll && !alone:
		out.Notes = append(out.Notes, "Format NVM is not used: the drive has other namespaces, and erases all of them")
		return nil
	}
	about := identify(0, d.Namespace)
	err := d.do(about)
	if err == nil {
		out.formatted, err = ReadFormatted(about.Data)
	}
	if err != nil {
		return err
	}
	if out.Format = []SecureErase{UserData}; c.FormatCrypto {
		out.Format = []SecureErase{UserData, Cryptographic}
	}
	return nil
}

// alone says whether the drive has no namespace but this one, attached or not.
func (d Drive) alone(c Controller) (bool, error) {
	const active, allocated = 2, 0x10
	for _, list := range []struct {
		ask  uint32
		asks bool
	}{{active, true}, {allocated, c.Manages}} {
		if !list.asks {
			continue
		}
		namespaces := identify(list.ask, 0)
		if err := d.do(namespaces); err != nil {
			return false, fmt.Errorf("asking for other namespaces: %w", err)
		}
		if !slices.Equal(ReadNamespaces(namespaces.Data), []uint32{d.Namespace}) {
			return false, nil
		}
	}
	return true, nil
}

// ErrRefused is wrapped where the drive refused a command, and did nothing.
var ErrRefused = errors.New("the drive refused")

func (d Drive) do(c Command) error {
	status, err := d.Do(c)
	if err == nil && status != 0 {
		err = fmt.Errorf("%w: status 0x%03x", ErrRefused, status&0x7ff)
	}
	if err != nil {
		return fmt.Errorf("NVMe command %02Xh: %w", c.Opcode, err)
	}
	return nil
}

func (d Drive) status() (Status, error) {
	log := sanitizeLog()
	if err := d.do(log); err != nil {
		return Status{}, fmt.Errorf("reading its log of sanitizing: %w", err)
	}
	return ReadStatus(log.Data)
}

// patience is how many looks at the log in a row may fail: a drive may be deaf for a while.
const patience = 30

// Sanitize erases the whole drive, and waits for the end. With running it begins none, and waits for the one that is
// under way. report gets how much is done, 0 to 1. If ctx ends it returns, and the drive continues. When it returns
// nil, the data are lost: the drive says so in its log, which survives a power cut.
func (d Drive) Sanitize(ctx context.Context, a Action, running bool, report func(float64)) error {
	if !running {
		if s, err := d.status(); err == nil && s.State == Failed { // only another one ends this state, and this one
			_ = d.do(SanitizeCommand(exitFailure))
		}
		if err := d.do(SanitizeCommand(a)); err != nil {
			return err
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
		switch s.State {
		case Running:
			report(s.Fraction)
		case Succeeded:
			report(1)
			return nil
		case Failed:
			_ = d.do(SanitizeCommand(exitFailure)) // so that it can be read and written again
			return errors.New("the drive reports that its Sanitize failed")
		default:
			return errors.New("the drive knows nothing of the Sanitize that it began")
		}
	}
}

// Format erases the namespace by Format NVM. Its format stays. It cannot be stopped. When it returns nil, the data are
// lost.
func (d Drive) Format(a Abilities, e SecureErase) error {
	return d.do(FormatCommand(d.Namespace, a.formatted, e))
}
