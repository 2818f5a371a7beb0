// Package unit has the files by which a system on an encrypted pool copies its kernels after each upgrade, so that GRUB
// starts the new one. All of them run the agent's command kernels.
//
// Call Install with a root that has the agent, or Remove with one whose pool GRUB can read. The package manager runs:
//
//	/etc/kernel/postinst.d/zz-griddle         after a kernel was installed (Debian, Ubuntu)
//	/etc/kernel/prerm.d/zz-griddle            before one is removed
//	/etc/kernel/postrm.d/zz-griddle           after one was removed
//	/etc/initramfs/post-update.d/zz-griddle   after update-initramfs made an initrd
//	/etc/kernel/install.d/99-griddle.install  in all these cases, where kernel-install does that (Fedora, RHEL, SUSE)
//
// dracut that someone runs by hand runs none of them. So systemd looks at /boot: griddle-kernels.path starts
// griddle-kernels.service when a file there changes, and each start of the system does too, for what changed while
// nothing looked. Until then GRUB starts the kernel and the initrd of before, which belong together.
//
// A hook fails only where the machine would not start: what the package manager does otherwise stays half done. That is
// so before a kernel is removed that GRUB starts, if no other one can be copied.
//
// In a root that does not run, such as one that is being made, the hooks do nothing: what starts it copies its kernel
// (packages pool, update).
//
// Sources: kernel-install(8), run-parts(8), update-initramfs(8), systemd.path(5), sd_booted(3); Debian's packages
// linux-image-6.1 and initramfs-tools 0.142.
package unit

import (
	"fmt"

	"griddle/initramfs/sysroot"
	"griddle/initramfs/systemd"
)

// agent is the program on the installed system.
const agent = "/usr/lib/griddle/griddle-agent"

// begin is how each hook begins.
const begin = `#!/bin/sh
# Written by Griddle. The pool is encrypted, so GRUB reads copies of kernels: see griddle-agent kernels --help.
[ -d /run/systemd/system ] && [ -x ` + agent + ` ] || exit 0
`

const (
	changed = begin + "exec " + agent + " kernels --hook\n"
	removed = begin + "exec " + agent + " kernels --removing \"$1\"\n"
	install = begin + `case "$1" in
add) exec ` + agent + ` kernels --hook ;;
remove) exec ` + agent + ` kernels --removing "$2" ;;
esac
`
)

// hooks are the files that a package manager runs.
func hooks() map[string]string {
	return map[string]string{
		"etc/kernel/postinst.d/zz-griddle":        changed,
		"etc/kernel/prerm.d/zz-griddle":           removed,
		"etc/kernel/postrm.d/zz-griddle":          changed,
		"etc/initramfs/post-update.d/zz-griddle":  changed,
		"etc/kernel/install.d/99-griddle.install": install,
	}
}

// path is the unit that looks at /boot.
const path = "griddle-kernels.path"

const pathText = `[Unit]
Description=Look for kernels and initrds that GRUB has no copy of

[Path]
PathChanged=/boot

[Install]
WantedBy=multi-user.target
`

// The names in After are those for which multi-user.target would wait otherwise. A stop waits for the copy.
const serviceText = `[Unit]
Description=Copy kernels and initrds for GRUB, which cannot read the encrypted pool
After=griddle-bless.service multi-user.target graphical.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=` + agent + ` kernels
TimeoutStopSec=90
Nice=10
IOSchedulingClass=idle

[Install]
WantedBy=multi-user.target
`

func units() []systemd.Unit {
	return []systemd.Unit{{Name: path, Text: pathText}, {Name: "griddle-kernels.service", Text: serviceText}}
}

// Install leaves the files in the root of a system.
func Install(root sysroot.Dir) error {
	for name, text := range hooks() {
		if err := root.Write(name, []byte(text), 0o755); err != nil {
			return err
		}
	}
	for _, u := range units() {
		if err := systemd.Install(root, u); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes them away: an image may be made of a system that has them.
func Remove(root sysroot.Dir) error {
	for name := range hooks() {
		if err := root.RemoveAll(name); err != nil {
			return fmt.Errorf("removing /%s: %w", name, err)
		}
	}
	for _, u := range units() {
		if err := systemd.Remove(root, u); err != nil {
			return err
		}
	}
	return nil
}
