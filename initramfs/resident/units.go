package resident

import (
	"griddle/initramfs/sysroot"
	"griddle/initramfs/systemd"
)

// Names of the units that carry out an update.
const (
	PathUnit   = "griddle-update.path"    // starts UpdateUnit when there is an order
	UpdateUnit = "griddle-update.service" // carries it out
	TimerUnit  = "griddle-update.timer"   // asks for a newer version each night, if a site enables it
	askUnit    = "griddle-update-ask.service"
	settleUnit = "griddle-settle.service"

	refreshUnit = "griddle-refresh.service"
)

// Units are what a root gets to keep in touch with the server and to be updated.
func Units() []systemd.Unit {
	return []systemd.Unit{{Name: UnitName, Text: Unit}, {Name: PathUnit, Text: pathText},
		{Name: UpdateUnit, Text: updateText}, {Name: TimerUnit, Text: timerText, Off: true},
		{Name: askUnit, Text: askText}, {Name: settleUnit, Text: settleText},
		{Name: refreshUnit, Text: refreshText}}
}

// KeepFile is a list of paths that the next root takes over from this one (package carry), and KeepText its content: a
// timer that was enabled stays enabled.
const (
	KeepFile = "etc/griddle/keep.d/griddle-update.list"
	KeepText = "# A timer that was enabled stays enabled after an update, and what is forbidden stays forbidden.\n" +
		"/etc/systemd/system/timers.target.wants/" + TimerUnit + "\n/etc/griddle/no-run\n"
)

const agent = Programs + "/griddle-agent"

// The service runs in a sandbox and cannot update the system: it leaves the order in a file.
const pathText = `[Unit]
Description=Look for updates that the Griddle server ordered
ConditionPathExists=` + Dir + "/" + ConfigFile + `
RequiresMountsFor=` + Dir + `

[Path]
PathExists=` + Dir + `/order.json
Unit=` + UpdateUnit + `

[Install]
WantedBy=multi-user.target
`

// The unit runs while an order waits, so that the path unit does not start it again and again. It is of the type exec:
// a start that takes hours would keep the system from being up. What people do has precedence over it.
const updateText = `[Unit]
Description=Update this machine to another image
ConditionPathExists=` + Dir + `/order.json
RequiresMountsFor=` + Dir + `
Wants=network-online.target
After=network-online.target griddle-bless.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=` + agent + ` update --order
Restart=on-failure
RestartSec=30
Nice=10
CPUWeight=20
IOSchedulingClass=idle
IOWeight=20
PrivateMounts=yes
PrivateTmp=yes
`

// Persistent: a machine that was off at night asks when it starts.
const timerText = `[Unit]
Description=Ask the Griddle server each night for a newer version of this system
ConditionPathExists=` + Dir + "/" + ConfigFile + `

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=yes
Unit=` + askUnit + `

[Install]
WantedBy=timers.target
`

const askText = `[Unit]
Description=Ask the Griddle server for a newer version of this system
ConditionPathExists=` + Dir + "/" + ConfigFile + `
RequiresMountsFor=` + Dir + `
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=` + agent + ` update --nightly --when reboot --no-wait
`

// Which root is good is known after the blessing, which waits for all of multi-user.target: without these names here
// that target would wait for this unit.
const settleText = `[Unit]
Description=Delete the systems that this machine does not need, and record the others for its Griddle server
ConditionPathExists=` + Dir + "/" + ConfigFile + `
RequiresMountsFor=` + Dir + `
After=griddle-bless.service multi-user.target graphical.target

[Service]
Type=oneshot
ExecStart=` + agent + ` status --settle
Nice=10

[Install]
WantedBy=multi-user.target
`

// The unit does its work when it stops. It stops late, after all services that wait for sysinit.target, when no one
// changes files any more, and before the file systems are unmounted.
const refreshText = `[Unit]
Description=Hand over what changed to a system that starts next for the first time
DefaultDependencies=no
RequiresMountsFor=` + Dir + `
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=` + agent + ` update --refresh
TimeoutStopSec=90

[Install]
WantedBy=sysinit.target
`

// Install writes Units into the tree of a system, and what keeps them as a site wants them.
func Install(d sysroot.Dir) error {
	for _, u := range Units() {
		if err := systemd.Install(d, u); err != nil {
			return err
		}
	}
	return d.Write(KeepFile, []byte(KeepText), 0o644)
}

// Installed says whether a system has the units that carry out an update: one that was installed before there were
// updates has not.
func Installed(d sysroot.Dir) bool { return d.HasFile("etc/systemd/system/" + PathUnit) }
