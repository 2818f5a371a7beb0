package newroot

import (
	"context"
	"os"

	"griddle/appliance/setting"
	"griddle/initramfs/chroot"
	"griddle/initramfs/hook"
)

// chroot is the root, to run programs in. They find the name servers of this machine.
func (m *making) chroot() chroot.Root {
	resolv, _ := os.ReadFile(m.Resolv) // without a network there is none
	return chroot.Root{Dir: m.dir, Hostname: m.Machine.Hostname, Resolv: resolv}
}

// hooks runs the hooks of the image and of the settings, with all written and mounted that the system has.
func (m *making) hooks(ctx context.Context) error {
	var ofSettings []setting.Hook
	if m.Settings != nil {
		ofSettings = m.Settings.Hooks
	}
	return hook.Run(ctx, m.Root, ofSettings, hook.Options{Machine: m.Machine, Resolv: m.chroot().Resolv,
		Person: m.Person, Event: m.Event})
}
