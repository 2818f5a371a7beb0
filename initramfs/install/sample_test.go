package install

import (
	"errors"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/disk/disktest"
)

// TestSlowDisk: a disk that was too slow for the list of disks is sampled again by an order, and by what that finds it
// is blank or refused.
func TestSlowDisk(t *testing.T) {
	img, o := small(t, nil), options(t)
	dev := disktest.Loop(t, 1<<30, 512)
	slow := found(t, dev, "D1")
	slow.Sampled = "it was not read in time: only 902 of 1047 places"
	write(t, dev, 5<<20, "mine")
	before := sum(t, dev)
	err := Run(t.Context(), spec(dev), img, []job.Disk{slow}, &journal{}, o)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "data at byte 5242880 (0x6d)") {
		t.Errorf("Run on a disk with data = %v, want ErrRefused with the place of the data", err)
	}
	if sum(t, dev) != before {
		t.Error("the disk has changed")
	}
	write(t, dev, 5<<20, "\x00\x00\x00\x00")
	disks := []job.Disk{slow}
	if err := Run(t.Context(), spec(dev), img, disks, &journal{}, o); err != nil {
		t.Errorf("Run on a blank disk = %v", err)
	}
	if disks[0].Sampled != slow.Sampled {
		t.Error("Run changed the caller's list of disks")
	}
}
