package systemd

import (
	"os"
	"testing"

	"griddle/initramfs/sysroot"
)

// A masked unit is not enabled, until Start.
func TestStart(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	d := sysroot.Dir{Root: root}
	const unit, target, wants = "x.service", "multi-user.target", "etc/systemd/system/multi-user.target.wants/x.service"
	if HasUnit(d, unit) || Enabled(d, unit) {
		t.Error("an empty tree has the unit")
	}
	if err := d.Write("lib/systemd/system/"+unit, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !HasUnit(d, unit) || Enabled(d, unit) {
		t.Error("a unit that no target starts is not there, or enabled")
	}
	if err := Enable(d, unit, target); err != nil || !Enabled(d, unit) {
		t.Errorf("Enable = %v, and Enabled = %t", err, Enabled(d, unit))
	}
	if err := d.ReplaceLink("/dev/null", "etc/systemd/system/"+unit); err != nil {
		t.Fatal(err)
	}
	if Enabled(d, unit) {
		t.Error("a masked unit is enabled")
	}
	for range 2 {
		if err := Start(d, unit, target); err != nil || !Enabled(d, unit) {
			t.Errorf("Start = %v, and Enabled = %t", err, Enabled(d, unit))
		}
	}
	if to, err := d.Readlink(wants); to != "/lib/systemd/system/"+unit {
		t.Errorf("%s leads to %q, %v", wants, to, err)
	}
	for range 2 {
		if err := Disable(d, unit, target); err != nil || Enabled(d, unit) {
			t.Errorf("Disable = %v, and Enabled = %t", err, Enabled(d, unit))
		}
	}
}
