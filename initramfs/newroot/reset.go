package newroot

import (
	"errors"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/pool/reset/unit"
)

// resets makes the root a base: with the units that make fresh roots of it, and the paths that these keep.
func (m *making) resets() error {
	if m.Reset == "" {
		return nil
	}
	if !m.HasFile(strings.TrimPrefix(AgentFile, "/")) {
		return errors.New("a machine that is reset at each start needs Griddle's agent, and this root gets none")
	}
	if err := unit.Install(m.Dir); err != nil {
		return err
	}
	if m.Settings != nil && len(m.Settings.Keep) > 0 {
		text := strings.Join(m.Settings.Keep, "\n") + "\n"
		if err := m.Write(unit.KeepFile, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return m.Write(bootloader.BaseMarker, []byte(m.Reset+"\n"), 0o444)
}

// ownHome says that /home is a part of the root.
func (m *making) ownHome() bool { return m.Reset == job.ResetHome }
