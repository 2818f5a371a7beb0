package hardware

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRTCTime(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want unix.RTCTime
	}{
		{time.Date(2026, 11, 28, 21, 5, 9, 1, time.UTC),
			unix.RTCTime{Sec: 9, Min: 5, Hour: 21, Mday: 28, Mon: 10, Year: 126}},
		{time.Date(2027, 1, 1, 0, 30, 0, 0, time.FixedZone("", 3600)),
			unix.RTCTime{Min: 30, Hour: 23, Mday: 31, Mon: 11, Year: 126}},
	} {
		if got := rtcTime(c.at); got != c.want {
			t.Errorf("rtcTime(%v) = %+v, want %+v", c.at, got, c.want)
		}
	}
}
