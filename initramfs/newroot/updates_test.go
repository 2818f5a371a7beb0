package newroot

import (
	"os"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/bless/health"
	"griddle/initramfs/resident"
	"griddle/initramfs/sysroot"
)

// TestUpdates: what settings say of updates wins over what the root has, and what they do not say stays.
func TestUpdates(t *testing.T) {
	const link = "etc/systemd/system/timers.target.wants/" + resident.TimerUnit
	yes, no := true, false
	for _, c := range []struct {
		name     string
		settings *setting.Updates // nil: the machine has none
		image    bool             // the timer is on, and the server optional
		service  bool             // the root has the units
		on       bool
		server   health.Need
		warnings int
	}{
		{name: "no settings", image: true, service: true, on: true, server: health.Optional},
		{name: "nothing", settings: &setting.Updates{}, image: true, service: true, on: true, server: health.Optional},
		{name: "nothing, and the image has nothing", settings: &setting.Updates{}, service: true},
		{name: "on", settings: &setting.Updates{Nightly: &yes}, service: true, on: true},
		{name: "on already", settings: &setting.Updates{Nightly: &yes}, image: true, service: true, on: true,
			server: health.Optional},
		{name: "off", settings: &setting.Updates{Nightly: &no, Server: setting.Required}, image: true, service: true,
			server: health.Required},
		{name: "off already", settings: &setting.Updates{Nightly: &no, Server: setting.Optional}, service: true,
			server: health.Optional},
		{name: "no service", settings: &setting.Updates{Nightly: &yes}, warnings: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			warnings := 0
			m := &making{Dir: sysroot.Dir{Root: root},
				Options: Options{Event: func(job.Level, string) { warnings++ }}}
			if c.settings != nil {
				m.Settings = &setting.Settings{Updates: *c.settings}
			}
			if c.image {
				if err := m.ReplaceLink("../"+resident.TimerUnit, link); err != nil {
					t.Fatal(err)
				}
				if err := m.Write(health.ConfigFile, []byte(`{"server":"optional"}`), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.service {
				if err := resident.Install(m.Dir); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.updates(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Lstat(link); (err == nil) != c.on {
				t.Errorf("the timer is on: %v, want %t", err, c.on)
			}
			if got, err := health.Read(dir + "/" + health.ConfigFile); err != nil || got.Server != c.server {
				t.Errorf("the server is %q, %v, want %q", got.Server, err, c.server)
			}
			if warnings != c.warnings {
				t.Errorf("%d warnings, want %d", warnings, c.warnings)
			}
		})
	}
}
