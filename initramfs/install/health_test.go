package install

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/smart"
)

// TestWarnOfHealth: a disk that says that it fails is warned of before anything is written. One that is well, or was
// not asked, is not.
func TestWarnOfHealth(t *testing.T) {
	for _, c := range []struct {
		health smart.Health
		want   string
	}{
		{smart.Health{}, ""},
		{smart.Health{State: smart.OK, Hours: 9000}, ""},
		{smart.Health{State: smart.Unknown, Reason: "it did not answer in time"}, ""},
		{smart.Health{State: smart.Failing, Reason: "it is read-only"}, "says that it is failing: it is read-only"},
		{smart.Health{State: smart.OK, Reason: "8 sectors cannot be read"}, "says: 8 sectors cannot be read"},
	} {
		j := &journal{}
		w := &work{report: j, phase: job.PhaseCheck,
			target: Disks([]disk.Disk{{Path: "/dev/sdb", Size: 1 << 20, Health: c.health}})[0]}
		w.warnOfHealth()
		switch {
		case c.want == "" && len(j.events) > 0:
			t.Errorf("%+v: %+v, want no warning", c.health, j.events)
		case c.want != "" && (len(j.events) != 1 || j.events[0].Level != job.Warning ||
			!strings.Contains(j.events[0].Message, "/dev/sdb") || !strings.Contains(j.events[0].Message, c.want)):
			t.Errorf("%+v: %+v, want a warning with %q", c.health, j.events, c.want)
		}
	}
}

// TestHealthWords: what package smart says is what job understands.
func TestHealthWords(t *testing.T) {
	if smart.OK != job.Healthy || smart.Failing != job.Failing || smart.Unknown != job.UnknownHealth {
		t.Errorf("smart says %q, %q, %q; job understands %q, %q, %q", smart.OK, smart.Failing, smart.Unknown,
			job.Healthy, job.Failing, job.UnknownHealth)
	}
	if disk.Rotates != job.Rotates || disk.Solid != job.Solid {
		t.Errorf("disk says %q and %q, job understands %q and %q", disk.Rotates, disk.Solid, job.Rotates, job.Solid)
	}
}
