package update

import (
	"errors"
	"testing"

	"griddle/initramfs/pool/intake/intaketest"
)

func TestPower(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		low   bool
	}{
		{"none", nil, false},
		{"mains", map[string]string{"AC/type": "Mains", "AC/online": "0"}, false},
		{"full", map[string]string{"B/type": "Battery", "B/status": "Discharging", "B/capacity": "20"}, false},
		{"low", map[string]string{"B/type": "Battery", "B/status": "Discharging", "B/capacity": "19\n"}, true},
		{"charges", map[string]string{"B/type": "Battery", "B/status": "Charging", "B/capacity": "3"}, false},
		{"mouse", map[string]string{"B/type": "Battery", "B/status": "Discharging", "B/capacity": "3",
			"B/scope": "Device"}, false},
		{"rubbish", map[string]string{"B/type": "Battery", "B/status": "Discharging", "B/capacity": "many"}, false},
		{"unknown", map[string]string{"B/type": "Battery", "B/status": "Discharging"}, false},
	} {
		dir := t.TempDir()
		intaketest.Put(t, dir, c.files)
		if err := power(dir); errors.Is(err, ErrPower) != c.low {
			t.Errorf("%s: power = %v, want low: %v", c.name, err, c.low)
		}
	}
}
