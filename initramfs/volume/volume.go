// Package volume makes arrays of the kernel (md, RAID 1) and volume groups of LVM, starts what was made before, and
// lets go of it. It does so by their own programs, mdadm and lvm, which the tools archive of a boot image has.
//
// Fill an Array or a Group with the device files of all its members. Make makes it on them and starts it; Start starts
// one that is there; Release stops it, and is what has to be called before its members are used otherwise. IDOf reads
// whose member a device is, without any program.
//
// Only the given devices are looked at and written to: mdadm gets no configuration, and lvm no other device. So what
// other systems have on other disks is never started nor changed, also if it has the same name.
//
// What Make and Add wrote is on the disks when they return, and so is what they made before: a crash between leaves the
// members as they were or in part made, and Make does all of it again on members that are wiped.
//
// Sources: mdadm(8), md(4); lvm(8), pvcreate(8), vgcreate(8), lvcreate(8), vgchange(8); the kernel's
// Documentation/admin-guide/md.rst and ABI/stable/sysfs-block for what holds a device.
package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs that arrays and volume groups need.
const (
	Mdadm = "mdadm"
	LVM   = "lvm"
)

// run runs a program to its end, also if what asked for it is given up meanwhile: one that is killed may leave devices
// suspended.
func run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LVM_SUPPRESS_FD_WARNINGS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// load loads kernel modules that the kernel does not have yet, by the program modprobe.
func load(ctx context.Context, modules ...string) error {
	for _, m := range modules {
		if _, err := os.Stat("/sys/module/" + m); err == nil {
			continue
		}
		if err := run(ctx, "modprobe", m); err != nil {
			return fmt.Errorf("loading the kernel module %s: %w", m, err)
		}
	}
	return nil
}

// holders are the names of the devices that are made of a device now.
func holders(node string) ([]string, error) {
	real, err := filepath.EvalSymlinks(node)
	if err != nil {
		return nil, err
	}
	found, err := os.ReadDir(filepath.Join("/sys/class/block", filepath.Base(real), "holders"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for what uses %s: %w", node, err)
	}
	var out []string
	for _, f := range found {
		out = append(out, f.Name())
	}
	return out, nil
}
