package powercut

import _ "embed" // the scripts

//go:embed probe.sh
var probeScript string

//go:embed lean.sh
var leanScript string

// probeUnit runs the probe after all that the agent does at a start.
const probeUnit = `[Unit]
Description=Say what a power cut left
After=griddle-bless.service multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/powercut-probe

[Install]
WantedBy=multi-user.target
`

// onConsole has a unit of the agent say at once on the serial line what it does: the last console of the kernel's
// command line, which journal+console means, is the screen. journald passes notices on to the kernel, and no less.
const onConsole = `[Service]
StandardOutput=kmsg
StandardError=kmsg
SyslogLevel=notice
`

// allOnConsole has the kernel leave out no message that units write to its log.
const allOnConsole = "kernel.printk_devkmsg = on\n"

// files are what the image has for the tests, by their names.
func files() map[string]string {
	all := map[string]string{
		"usr/local/sbin/powercut-probe":       probeScript,
		"etc/systemd/system/powercut.service": probeUnit,
		"etc/sysctl.d/powercut.conf":          allOnConsole,
	}
	for _, unit := range []string{"griddle-update", "griddle-health", "griddle-bless"} {
		all["etc/systemd/system/"+unit+".service.d/powercut.conf"] = onConsole
	}
	return all
}
