// Package windows says which Windows is on an NTFS volume: "Windows 11 Pro 23H2, build 22631.3007, on LAB-07".
//
// Call Inside first in main, and in TestMain of packages whose tests call Ask. Then call Ask with the device file of
// the volume.
//
// The name, version and build are in the registry, in two files that Windows keeps in its folder System32\config. Only
// the parts of the volume and of the files on the way to them are read, and nothing is written or mounted. What Windows
// wrote last may still be in its logs, which are not read: the answer can be an update behind.
//
// A volume is hostile, and the libraries that read it trust it more than an agent may. So Ask starts this program again
// as a process of its own, which has the open volume and nothing else to work with: limits of memory, processor time
// and bytes, no file to write to, and an answer of at most maxAnswer bytes. Whatever happens to it, the agent gets an
// error.
//
// Sources: github.com/msuhanov/regf (the format of registry files); learn.microsoft.com, "Windows 11 release
// information", for builds.
package windows

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
)

// System is an installed Windows.
type System struct {
	Product  string // "Windows 11 Pro"
	Version  string // "23H2"; "" if it has none
	Build    string // "22631.3007"
	Computer string // its name in the network, "" if not known
}

// String is System in one line for people; "" if nothing is known.
func (s System) String() string {
	out := strings.TrimSpace(s.Product + " " + s.Version)
	if out == "" {
		return ""
	}
	if s.Build != "" {
		out += ", build " + s.Build
	}
	if s.Computer != "" {
		out += ", on " + s.Computer
	}
	return out
}

// The files of the registry, and the keys in them.
const (
	fileSoftware = "Windows/System32/config/SOFTWARE"
	keyVersion   = `Microsoft\Windows NT\CurrentVersion`

	fileSystem  = "Windows/System32/config/SYSTEM"
	keySelect   = `Select`
	keyComputer = `ControlSet%03d\Control\ComputerName\ComputerName`
)

// first11 is the first build of Windows 11, which still calls itself Windows 10 there.
const first11 = 22000

// named is the system that the values of keyVersion describe.
func named(text func(name string) string, number func(name string) (uint64, bool)) System {
	s := System{Product: job.Printable(text("ProductName")), Build: job.Printable(text("CurrentBuild"))}
	if s.Build == "" {
		s.Build = job.Printable(text("CurrentBuildNumber"))
	}
	s.Version = job.Printable(text("DisplayVersion"))
	if s.Version == "" {
		s.Version = job.Printable(text("ReleaseId"))
	}
	var build int
	if _, err := fmt.Sscanf(s.Build, "%d", &build); err == nil && build >= first11 {
		if rest, ok := strings.CutPrefix(s.Product, "Windows 10"); ok {
			s.Product = "Windows 11" + rest
		}
	}
	if update, ok := number("UBR"); ok && s.Build != "" {
		s.Build += fmt.Sprintf(".%d", update)
	}
	return s
}
