package install

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/layout"
	"griddle/initramfs/divide"
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

// keys open what is encrypted, as far as they were asked for: the passphrase of the settings and the recovery keys.
func (w *work) keys() [][]byte {
	return append([][]byte{[]byte(w.settings.Disks.Passphrase)}, w.recovery...)
}

// opened calls open to open something that is encrypted: by the TPM, by the passphrase of the settings, or by a
// recovery key. Each of the others is asked for only where open returned closed before.
func (w *work) opened(ctx context.Context, closed error, open func(keys [][]byte) error) error {
	err := open(w.keys())
	if errors.Is(err, closed) && w.o.Settings != nil && !w.asked {
		if _, err := w.own(ctx); err != nil {
			return err
		}
		err = open(w.keys())
	}
	if errors.Is(err, closed) && w.o.Recovery != nil && w.recovery == nil {
		if err := w.recover(ctx); err != nil {
			return err
		}
		err = open(w.keys())
	}
	if err != nil {
		err = fmt.Errorf("%w; give the settings of this machine its passphrase with disks: {passphrase: …}", err)
	}
	return err
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
