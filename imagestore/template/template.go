// Package template prepares the copy of one machine's tree for many machines: it removes what belongs to that machine
// only, and what others cannot use.
//
// Call Clean for the built-in steps, and then RunHooks for a site's own programs. Both work on a private, writable
// copy, never on the original. Inspect says what the tree is like.
//
// # Steps
//
// They run in this order, whatever order the caller names:
//
//	package-caches   lists and archives of apt, dnf, yum, zypper, pacman and apk; directories stay
//	logs             rotated files and journals below /var/log are removed, the others emptied
//	leases           of dhclient, dhcpcd, NetworkManager, systemd-networkd, wicked
//	ssh-host-keys    of OpenSSH and dropbear
//	machine-id       /etc/machine-id is emptied, /var/lib/dbus/machine-id removed unless it is a symbolic link
//	host-identity    names at iSCSI, NVMe and Red Hat, hostid; keys of pacman, fwupd, cockpit, and the TPM's
//	domain           keytab, caches and secrets of sssd, account at samba, enrolment at IPA; not their configuration
//	random-seeds     of systemd, SysV and the boot loader; the key of systemd-creds(1)
//	histories        of shells and such, of root and of /home/*
//	udev-rules       persistent names of network cards and CD drives, which udev wrote by itself
//	cloud-init       /var/lib/cloud but for seed, which a site puts there
//	griddle-install  token, key, shares, seed and data of the configurator, where Griddle installed the system
//	temporary-files  /tmp and /var/tmp
//
// Debian's open-iscsi gets a file that has it make a new name, because it does not start without one.
//
// What is to be removed goes whatever it is; what is to be emptied is emptied where it is a regular file with one
// name, and removed where it has several, since the others may be programs. An emptied file, and a directory out of
// which something was removed, keep their times, so that the copy of an unchanged tree comes out unchanged. What
// chattr(1) made immutable or append-only loses that where it is in the way.
//
// # A hostile copy
//
// The tree may be made to lead its cleaner astray. Directories are opened by openat2(2) beneath the copy without
// following any symbolic link or entering a mount, and all work is done relative to them, without following the last
// part either: a step whose directory is a symbolic link leaves it alone, and says so. Nothing is executed.
//
// Sources: machine-id(5), virt-sysprep(1), `cloud-init clean`, systemd-random-seed.service(8), dhclient(8).
package template

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrStep is wrapped if a step's name is not known.
var ErrStep = errors.New("unknown clean-up step")

// Options of Clean.
type Options struct {
	Steps []string              // names of the steps; nil means all
	Warn  func(sentence string) // gets sentences that a person should read, though nothing failed; may be nil
}

// Step is what one clean-up step did.
type Step struct {
	Name    string
	Removed int64 // files and directories that were removed or emptied
	Bytes   int64 // of regular files among them; a file with several names counts with the last one
}

// Steps are the names of all steps in their order.
func Steps() []string {
	var out []string
	for _, s := range steps() {
		out = append(out, s.name)
	}
	return out
}

// ParseSteps reads "all", "none", or names separated by commas.
func ParseSteps(s string) ([]string, error) {
	switch s {
	case "all":
		return Steps(), nil
	case "none":
		return []string{}, nil
	}
	names := strings.Split(s, ",")
	return names, known(names)
}

func known(names []string) error {
	all := Steps()
	for _, n := range names {
		if !slices.Contains(all, n) {
			return fmt.Errorf("%w %.40q: use all, none, or some of %s", ErrStep, n, strings.Join(all, ", "))
		}
	}
	return nil
}

// Clean runs the steps on the copy at dir, which nothing else uses, and returns what each did, also those that found
// nothing. After an error, or the end of ctx, discard the copy: some of the steps may have run.
func Clean(ctx context.Context, dir string, o Options) ([]Step, error) {
	if err := known(o.Steps); err != nil {
		return nil, err
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cleaning %s: %w", dir, err)
	}
	defer unix.Close(root)
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	done := []Step{}
	for _, s := range steps() {
		if o.Steps != nil && !slices.Contains(o.Steps, s.name) {
			continue
		}
		w := &work{ctx: ctx, root: root, warn: o.Warn, step: Step{Name: s.name}}
		s.do(w)
		if w.err != nil {
			return nil, fmt.Errorf("cleaning %s: %s: %w", dir, s.name, w.err)
		}
		done = append(done, w.step)
	}
	return done, nil
}
