// Package unit has the units of systemd for a machine that is reset at each start.
//
// Call Install with the root of a base. The units do, by package reset:
//
//	griddle-reset         griddle-agent reset: prepares the fresh systems of the next starts, or after its trial
//	griddle-reset-keep    griddle-agent reset --keep, at a clean shutdown: prepares them again, with what is kept then
//	griddle-reset.target  griddle-agent reset --base: what GRUB has the base itself start, which lets no one log in
//
// griddle-reset-keep stops after all ordinary services, so that their files are complete, and before filesystems are
// unmounted. The target starts nothing else: no device manager, no journal; what the program says is on the screen.
package unit

import (
	"os"
	"path/filepath"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/systemd"
)

// KeepFile is the file of a base with the paths that the settings keep, one in each line.
const KeepFile = "usr/lib/griddle/keep"

// agent is the program on the installed system.
const agent = "/usr/lib/griddle/griddle-agent"

const prepare = `[Unit]
Description=Prepare the fresh systems of the next starts
After=local-fs.target

[Service]
Type=exec
ExecStart=` + agent + ` reset
Restart=on-failure
RestartSec=1min
Nice=10
IOSchedulingClass=idle

[Install]
WantedBy=multi-user.target
`

const keep = `[Unit]
Description=Keep what is kept of this system for the next start
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=` + agent + ` reset --keep
TimeoutStopSec=2min
StandardOutput=journal+console

[Install]
WantedBy=sysinit.target
`

const target = `[Unit]
Description=Make fresh systems, and restart
DefaultDependencies=no
Requires=griddle-reset-base.service
After=griddle-reset-base.service
AllowIsolate=yes
`

const base = `[Unit]
Description=Make fresh systems, and restart
DefaultDependencies=no
FailureAction=reboot

[Service]
Type=oneshot
ExecStart=` + agent + ` reset --base
TimeoutStartSec=infinity
StandardOutput=tty
`

// Units are the units of a base.
func Units() []systemd.Unit {
	return []systemd.Unit{{Name: "griddle-reset.service", Text: prepare},
		{Name: "griddle-reset-keep.service", Text: keep}, {Name: bootloader.ResetTarget, Text: target},
		{Name: "griddle-reset-base.service", Text: base}}
}

// Installed says whether the system whose root is at a path has the units.
func Installed(root string) bool {
	_, err := os.Stat(filepath.Join(root, "etc/systemd/system", bootloader.ResetTarget))
	return err == nil
}

// Install leaves the units in the root of a system.
func Install(root sysroot.Dir) error {
	for _, u := range Units() {
		if err := systemd.Install(root, u); err != nil {
			return err
		}
	}
	return nil
}
