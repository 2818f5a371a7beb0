package install

import (
	"context"
	"fmt"

	"griddle/appliance/layout"
	"griddle/initramfs/divide"
	"griddle/initramfs/mounts/opening"
)

// recover asks for the recovery keys of the machine. The server has made them durable before it gives them.
func (w *work) recover(ctx context.Context) error {
	if w.o.Recovery == nil {
		return fmt.Errorf("%w: the layout has partitions that a recovery key opens, and the server gives this machine "+
			"none; use a server of the same version as this agent", ErrRefused)
	}
	keys, err := w.o.Recovery(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		w.recovery = append(w.recovery, []byte(key))
	}
	if len(w.recovery) == 0 {
		return fmt.Errorf("%w: the server has no recovery key for this machine; order the install again", ErrRefused)
	}
	return nil
}

// keys open what is encrypted: the passphrase of the settings, and then the recovery keys. Each of them is asked for
// only where it is needed, and once.
func (w *work) keys() opening.Keys {
	var passphrase, recovery func(context.Context) ([][]byte, error)
	if w.o.Settings != nil {
		passphrase = func(ctx context.Context) ([][]byte, error) {
			s, err := w.own(ctx)
			return [][]byte{[]byte(s.Disks.Passphrase)}, err
		}
	}
	if w.o.Recovery != nil {
		recovery = func(ctx context.Context) (_ [][]byte, err error) {
			if w.recovery == nil {
				err = w.recover(ctx)
			}
			return w.recovery, err
		}
	}
	return opening.Asked(passphrase, recovery)
}

// sayRecovery says which partitions a recovery key opens, by what finds them again: the UUIDs of their volumes.
func (w *work) sayRecovery(made divide.Made) {
	for _, p := range made.Parts {
		switch {
		case p.Unrecoverable:
			w.warn("partition %d of %s (volume %s) stays as it was, and no recovery key of this machine opens it; run "+
				"`systemd-cryptenroll --recovery-key` for it on the machine, and keep what that prints",
				p.Part.Number, p.Disk, p.Volume)
		case p.Part.UnlockedBy(layout.Recovery):
			w.say("a recovery key of this machine opens partition %d of %s (volume %s); an operator gets it with "+
				"`griddle machine recovery-key`", p.Part.Number, p.Disk, p.Volume)
		}
	}
}
