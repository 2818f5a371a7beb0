package install

import (
	"errors"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk/disktest"
)

// An image without systemd makes no fresh roots, and a word that is not known is not ignored: nothing is written.
func TestResetRefused(t *testing.T) {
	dev := disktest.Loop(t, 1<<30, 512)
	for _, c := range []struct {
		init  string
		reset job.Reset
		want  string
	}{
		{"-> busybox", job.ResetSystem, "does not start with systemd"},
		{"-> ../usr/lib/systemd/systemd", "often", `"often" is not what a machine resets`},
	} {
		before, s := sum(t, dev), spec(dev)
		s.Reset = c.reset
		img := publish(t, func(dir string) {
			put(t, dir, map[string]string{"boot/vmlinuz-1": "a kernel", "usr/lib/systemd/systemd": "process 1",
				"sbin/init": c.init})
		})
		err := Run(t.Context(), s, img, []job.Disk{found(t, dev, "D1")}, &journal{}, options(t))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Run with %q and reset %q = %v, want %q", c.init, c.reset, err, c.want)
		}
		if sum(t, dev) != before {
			t.Error("the disk has changed")
		}
	}
}
