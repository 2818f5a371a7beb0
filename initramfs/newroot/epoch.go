package newroot

import (
	"fmt"
	"time"
)

// epochFile is what systemd takes the earliest possible time from, by when it was last written (systemd 246 and later).
// A machine whose clock has lost its battery would begin in 1970 otherwise, with all of its files in the future.
const epochFile = "usr/lib/clock-epoch"

// epoch leaves epochFile in the root, written at now.
func (m *making) epoch(now time.Time) error {
	if err := m.Write(epochFile, nil, 0o644); err != nil {
		return err
	}
	if err := m.Chtimes(epochFile, now, now); err != nil {
		return fmt.Errorf("writing /%s: %w", epochFile, err)
	}
	return nil
}

// adjtimeFile says what time the hardware clock has (adjtime(5), hwclock(8)); systemd reads it at each start.
const adjtimeFile = "etc/adjtime"

// localTime leaves adjtimeFile in the root if the clock has local time: no drift, never adjusted.
func (m *making) localTime() error {
	if !m.LocalTime {
		return nil
	}
	return m.Write(adjtimeFile, []byte("0.0 0 0.0\n0\nLOCAL\n"), 0o644)
}
