package job

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata" // whatever this computer has
)

// TestZone: a screen shows what a clock on the wall of that place showed, before and after its clocks change.
func TestZone(t *testing.T) {
	for _, c := range []struct{ name, at, want string }{
		{"Europe/Berlin", "2026-11-30T03:00:00Z", "2026-11-30 04:00:00 CET"},
		{"Europe/Berlin", "2026-10-25T00:59:59Z", "2026-10-25 02:59:59 CEST"},
		{"Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25 02:00:00 CET"},
		{"Europe/Berlin", "2027-07-01T10:00:00Z", "2027-07-01 12:00:00 CEST"},
		{"America/New_York", "2026-11-30T03:00:00Z", "2026-11-29 22:00:00 EST"},
		{"Asia/Kathmandu", "2026-11-30T03:00:00Z", "2026-11-30 08:45:00 UTC+0545"},
		{"America/Sao_Paulo", "2026-11-30T03:00:00Z", "2026-11-30 00:00:00 UTC-03"},
		{"UTC", "2026-11-30T03:00:00Z", "2026-11-30 03:00:00 UTC"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		place, err := time.LoadLocation(c.name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(ZoneOf(time.Date(2026, 11, 30, 3, 0, 0, 0, place)))
		if err != nil {
			t.Fatal(err)
		}
		var z Zone
		if err := json.Unmarshal(b, &z); err != nil {
			t.Fatal(err)
		}
		if got := z.At(at).Format("2006-01-02 15:04:05 MST"); got != c.want {
			t.Errorf("%s shows %s, want %s, by %s", c.name, got, c.want, b)
		}
	}
}

// FuzzZone: whatever a server sends, a time stays that time, and its zone has a name that harms no screen.
func FuzzZone(f *testing.F) {
	f.Add([]byte(`[{"until":"2027-03-28T01:00:00Z","offset":3600,"short":"CET"},{"offset":7200,"short":"CEST"}]`))
	f.Add([]byte(`[{"offset":99999999,"short":"X"}]`))
	f.Add([]byte(`[{"offset":1,"short":"\u001b[2J"}]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var z Zone
		if json.Unmarshal(b, &z) != nil {
			return
		}
		at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
		got := z.At(at)
		name, offset := got.Zone()
		if !got.Equal(at) || name == "" || len(name) > mostShort+3 || Printable(name) != name ||
			offset < -mostOffset || offset > mostOffset {
			t.Errorf("At of %s is %s in %q", b, got, name)
		}
	})
}
