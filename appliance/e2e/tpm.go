package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// startTPM starts the machine's TPM (swtpm), which ends when QEMU does.
func (m *Machine) startTPM(ctx context.Context) error {
	state, socket := m.room.path(m.Name+".tpm"), m.room.path(m.Name+".tpm.socket")
	if err := os.Mkdir(state, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("starting a TPM: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("starting a TPM: %w", err)
	}
	p, err := m.room.start(m.Name+".swtpm", "lan", "swtpm", "socket", "--tpm2", "--terminate",
		"--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+socket)
	if err != nil {
		return fmt.Errorf("starting a TPM: %w", err)
	}
	for {
		if _, err := os.Lstat(socket); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("starting a TPM: %w", ctx.Err())
		case <-p.done:
			return fmt.Errorf("starting a TPM: swtpm ended: %w; it said:\n%s", p.err, p.Output.Tail(5))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ReplaceTPM gives the machine another TPM, which knows nothing that the present one sealed. The machine must be off.
func (m *Machine) ReplaceTPM() error {
	if err := os.RemoveAll(m.room.path(m.Name + ".tpm")); err != nil {
		return fmt.Errorf("giving %s another TPM: %w", m.Name, err)
	}
	return nil
}
