package install

import (
	"context"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
)

// sampleLimit is how long an install samples a disk. A list of disks is shown at once, but an order can wait: a hard
// disk that corrects errors, or a machine that is busy, takes longer than disk.Scanner does.
const sampleLimit = 2 * time.Minute

// sampleAgain samples the disk that the rule picks, if the list of disks did not wait for it.
func (w *work) sampleAgain(ctx context.Context) {
	if d, err := w.spec.Disk.Pick(w.disks); err == nil {
		w.sample(ctx, d)
	}
}

// sample samples a disk, if the list of disks did not wait for it.
func (w *work) sample(ctx context.Context, d job.Disk) {
	if !content.OutOfTime(d.Sampled) {
		return
	}
	dev, err := disk.Open(d.Path)
	if err != nil {
		return // Check refuses the disk for what the list says
	}
	defer dev.Close()
	w.say("sampling %s to check that it is blank", d.Path)
	limited, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	at := slices.IndexFunc(w.disks, func(o job.Disk) bool { return o.Path == d.Path })
	w.disks = slices.Clone(w.disks)
	w.disks[at].Sampled = content.Sample(limited, dev, d.Size)
}
