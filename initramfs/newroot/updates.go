package newroot

import (
	"griddle/initramfs/bless/health"
	"griddle/initramfs/resident"
	"griddle/initramfs/systemd"
)

// updates has the root get newer versions as the settings say, over what the image and people on the machine chose. The
// units are there by now.
func (m *making) updates() error {
	if m.Settings == nil {
		return nil
	}
	u := m.Settings.Updates
	if u.Server != "" {
		b, err := health.Config{Server: health.Need(u.Server)}.Encode()
		if err != nil {
			return err
		}
		if err := m.Write(health.ConfigFile, b, 0o644); err != nil {
			return err
		}
	}
	const target = "timers.target"
	switch {
	case u.Nightly == nil:
		return nil
	case !*u.Nightly:
		return systemd.Disable(m.Dir, resident.TimerUnit, target)
	case !resident.Installed(m.Dir):
		m.warn("settings: updates.nightly has no effect: this system does not get the service that asks for updates")
		return nil
	}
	return systemd.Enable(m.Dir, resident.TimerUnit, target)
}
