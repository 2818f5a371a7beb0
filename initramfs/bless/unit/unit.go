// Package unit has the units of systemd that put a root on trial, and bless it.
//
// Call Install with a root that has the agent. The units do, in this order:
//
//	griddle-deadline  griddle-agent health --deadline: restarts the machine if the root is not blessed in time
//	griddle-health    griddle-agent health: checks the system; if that fails, the machine restarts
//	griddle-bless     griddle-agent bless: this is the good root; also finds out that an earlier candidate failed
//
// The first two run if the boot loader counted this start (bootloader.Try). The deadline depends on nothing, and
// survives that systemd stops all else for the emergency shell. It does not stop when a shutdown begins, so it also
// ends a shutdown that hangs. griddle-health runs when multi-user.target was reached, and before boot-complete.target,
// on which griddle-bless depends: so units of the image or the site that are required by that target count too
// (systemd.special(7), systemd-boot-check-no-failures.service(8)).
//
// A site gives slow machines more time by a drop-in for griddle-deadline with another Environment=DEADLINE=.
package unit

import (
	"griddle/initramfs/bootloader"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/systemd"
)

// agent is the program on the installed system.
const agent = "/usr/lib/griddle/griddle-agent"

const deadline = `[Unit]
Description=Restart this machine if its new system does not pass its trial in time
DefaultDependencies=no
IgnoreOnIsolate=yes
ConditionKernelCommandLine=` + bootloader.Try + `

[Service]
Environment=DEADLINE=10m
ExecStart=` + agent + ` health --deadline ${DEADLINE}
Restart=on-failure
OOMScoreAdjust=-1000
StandardOutput=journal+console

[Install]
WantedBy=sysinit.target
`

const health = `[Unit]
Description=Check whether the new system works
ConditionKernelCommandLine=` + bootloader.Try + `
After=multi-user.target graphical.target
Before=` + bootComplete + `
FailureAction=reboot

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + agent + ` health
StandardOutput=journal+console

[Install]
RequiredBy=` + bootComplete + `
`

const bless = `[Unit]
Description=Bless the system that works, and find out whether another one failed
Requires=` + bootComplete + `
After=` + bootComplete + ` multi-user.target graphical.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=5min
ExecStart=` + agent + ` bless
ExecStartPost=-/bin/systemctl --no-block stop griddle-deadline.service
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
`

const bootComplete = "boot-complete.target"

// bootCompleteUnit is for systems whose systemd is older than 240 (systemd.special(7)).
const bootCompleteUnit = `[Unit]
Description=Boot Completion Check
Requires=sysinit.target
After=sysinit.target
`

// Units are the units of a root.
func Units() []systemd.Unit {
	return []systemd.Unit{{Name: "griddle-deadline.service", Text: deadline},
		{Name: "griddle-health.service", Text: health}, {Name: "griddle-bless.service", Text: bless}}
}

// Install leaves the units in the root of a system, and has them started with it.
func Install(root sysroot.Dir) error {
	if !systemd.HasUnit(root, bootComplete) {
		if err := systemd.Install(root, systemd.Unit{Name: bootComplete, Text: bootCompleteUnit}); err != nil {
			return err
		}
	}
	for _, u := range Units() {
		if err := systemd.Install(root, u); err != nil {
			return err
		}
	}
	return nil
}
