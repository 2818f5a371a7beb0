package hook

import (
	"griddle/appliance/job"
)

// Machine is what a hook may know. What is not known is "".
type Machine struct {
	Name     string // the server's name for the machine
	Hostname string // of the new system
	Image    string // "web:20261120.1@amd64"
	Disk     string // the disk that is installed on, as the boot image names it: "/dev/nvme0n1"
	Firmware string // "bios" or "uefi"
	MAC      string // of the interface that the machine boots from, "52:54:00:12:34:56"
	Serial   string // serial number, as SMBIOS has it
	UUID     string // as SMBIOS has it, lower case
	Job      string // ID of the job
}

// Env is the variables of a hook:
//
//	GRIDDLE_MACHINE GRIDDLE_HOSTNAME GRIDDLE_IMAGE GRIDDLE_DISK GRIDDLE_FIRMWARE GRIDDLE_MAC GRIDDLE_SERIAL
//	GRIDDLE_UUID GRIDDLE_JOB, and GRIDDLE_ROOT, which is "/"
//
// Firmware may say anything: the values pass through job.Printable.
func (m Machine) Env() (env []string) {
	for _, v := range []struct{ name, value string }{{"MACHINE", m.Name}, {"HOSTNAME", m.Hostname}, {"IMAGE", m.Image},
		{"DISK", m.Disk}, {"FIRMWARE", m.Firmware}, {"MAC", m.MAC}, {"SERIAL", m.Serial}, {"UUID", m.UUID},
		{"JOB", m.Job}} {
		env = append(env, "GRIDDLE_"+v.name+"="+job.Printable(v.value))
	}
	return append(env, "GRIDDLE_ROOT=/")
}
