package install

import (
	"context"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/chroot"
	"griddle/initramfs/hook"
)

// newRoot is the root at dir, to run programs in. They find the name servers of this machine.
func (w *work) newRoot(dir string) chroot.Root {
	resolv, _ := os.ReadFile(w.o.Resolv) // without a network there is none
	return chroot.Root{Dir: dir, Hostname: w.hostname(), Resolv: resolv}
}

// hooks runs the hooks of the image and of the settings, with all written and mounted that the system has.
func (w *work) hooks(ctx context.Context, root *os.Root) error {
	m := hook.Machine{Name: w.o.Name, Hostname: w.hostname(), Image: w.img.Ref(), Disk: w.target.Path, Firmware: "uefi",
		Serial: w.o.Machine.Serial, UUID: w.o.Machine.UUID, Job: w.spec.ID}
	if w.o.BIOS {
		m.Firmware = "bios"
	}
	if len(w.o.Machine.MACs) > 0 {
		m.MAC = w.o.Machine.MACs[0]
	}
	return hook.Run(ctx, root, w.settings.Hooks, hook.Options{Machine: m, Resolv: w.newRoot(root.Name()).Resolv,
		Person: w.o.Person, Event: func(level job.Level, text string) {
			w.report.Event(job.Event{Job: w.spec.ID, Phase: w.phase, Level: level, Message: text})
		}})
}
