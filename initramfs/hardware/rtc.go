package hardware

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SetClock sets the clock that runs while the machine is off, to t in UTC, in whole seconds (rtc(4)). It
// fails where the machine has no such clock.
func SetClock(t time.Time) error {
	f, err := os.OpenFile("/dev/rtc0", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("setting the hardware clock: %w", err)
	}
	defer f.Close()
	v := rtcTime(t)
	if err := unix.IoctlSetRTCTime(int(f.Fd()), &v); err != nil {
		return fmt.Errorf("setting the hardware clock: %w", err)
	}
	return nil
}

// rtcTime is t in UTC as struct rtc_time has it: months from 0, years from 1900.
func rtcTime(t time.Time) unix.RTCTime {
	t = t.UTC()
	return unix.RTCTime{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Mday: int32(t.Day()), Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
	}
}
