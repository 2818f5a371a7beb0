// Package systemd is the units in the tree of an installed system: whether one is there and starts, and that it does.
//
// Call HasUnit, Enabled and Start, and Install for a unit of ours. The links are those that systemctl enable and
// systemctl unmask would make and remove; no program runs. All access is package sysroot's, which leaves the tree by no
// symlink. Sources: systemd.unit(5), systemctl(1).
package systemd

import (
	"errors"
	"io/fs"
	"path"

	"griddle/initramfs/sysroot"
)

// dirs are where packages have their units, the usual one first.
var dirs = []string{"usr/lib/systemd/system", "lib/systemd/system"}

// HasUnit reports whether the image has a unit of a package; a link to /dev/null, by which packages mask units, is not
// one.
func HasUnit(d sysroot.Dir, name string) bool { return dirOf(d, name) != "" }

func dirOf(d sysroot.Dir, name string) string {
	for _, dir := range dirs {
		if d.HasFile(path.Join(dir, name)) {
			return dir
		}
	}
	return ""
}

// Enabled reports whether a target starts a unit. The name of the link counts, not what it leads to (systemd.unit(5)).
func Enabled(d sysroot.Dir, unit string) bool {
	if masked(d, unit) {
		return false
	}
	for _, target := range []string{"multi-user", "sysinit", "network-online", "graphical"} {
		if _, err := d.Lstat("etc/systemd/system/" + target + ".target.wants/" + unit); err == nil {
			return true
		}
	}
	return false
}

// Enable has a target start a unit, as systemctl enable does by the unit's [Install] section.
func Enable(d sysroot.Dir, unit, target string) error {
	dir := dirOf(d, unit)
	if dir == "" {
		dir = "etc/systemd/system"
	}
	return d.ReplaceLink("/"+path.Join(dir, unit), "etc/systemd/system/"+target+".wants/"+unit)
}

// Disable removes the link of Enable.
func Disable(d sysroot.Dir, unit, target string) error {
	if err := d.Remove("etc/systemd/system/" + target + ".wants/" + unit); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Start is Enable for a unit that may be masked.
func Start(d sysroot.Dir, unit, target string) error {
	if err := Unmask(d, unit); err != nil {
		return err
	}
	return Enable(d, unit, target)
}

// Unmask removes the link with which systemctl mask keeps a unit from starting.
func Unmask(d sysroot.Dir, unit string) error {
	if masked(d, unit) {
		return d.Remove("etc/systemd/system/" + unit)
	}
	return nil
}

// masked reports whether systemctl mask keeps a unit from starting.
func masked(d sysroot.Dir, unit string) bool {
	target, err := d.Readlink("etc/systemd/system/" + unit)
	return err == nil && path.Clean(target) == "/dev/null"
}
