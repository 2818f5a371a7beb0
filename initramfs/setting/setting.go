// Package setting writes the settings of a machine into the root of its system before the first start: accounts, ssh,
// network, time, files and the rest of package appliance/setting, for images without cloud-init.
//
// Call Apply on the new root. Images with cloud-init get a seed instead: HasCloudInit says which they are. Kernel
// arguments, hooks, swap and user-data are left to the caller: package swapfile makes the file for all images.
//
// # What the caller does
//
// What the system mounts at its start, such as /home, is mounted below the root already. When Apply has returned, the
// caller syncs the filesystems: Apply syncs nothing. Each file is replaced by a rename, so after a crash it is whole,
// old or new, and another Apply completes the rest.
//
// # What it guarantees
//
// The image may be hostile: all access is package sysroot's, which leaves the tree by no symlink, files that are read
// have a limit, and lines that cannot be parsed stay as they are. Programs of the image run only through Options.Run.
// What is secret has mode 0600, password hashes the mode that the image gives its shadow file. The same settings
// applied again give the same bytes. What settings do not name stays as the image has it.
//
// # Sources
//
// The manual pages passwd(5), shadow(5), group(5), gshadow(5), subuid(5), sudoers(5), sshd_config(5),
// systemd.network(5), nm-settings-keyfile(5), interfaces(5), chrony.conf(5), timesyncd.conf(5) and dnf.conf(5).
package setting

import (
	"context"
	"errors"
	"fmt"
	"os"

	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

// Options is what Apply needs besides the settings.
type Options struct {
	// Run runs a program in the root, as chroot does, and returns an error with what it printed. Locales are generated
	// with it, and certificates put into bundles. May be nil: then Note says what is left.
	Run func(ctx context.Context, name string, args ...string) error

	// Note gets what an operator should know of settings that have no effect yet. May be nil.
	Note func(text string)
}

// ErrImage is wrapped by errors about what the image lacks, or has otherwise than the settings need it.
var ErrImage = errors.New("the image does not fit the settings")

// writer writes settings into one root.
type writer struct {
	sysroot.Dir
	s setting.Settings
	Options
}

// Apply writes s, which Check has accepted, into root. Errors of the image wrap ErrImage.
func Apply(ctx context.Context, root *os.Root, s setting.Settings, o Options) error {
	w := &writer{sysroot.Dir{Root: root}, s, o}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"hostname", w.names},
		{"time zone", w.zone},
		{"locale", w.locale},
		{"keymap", w.keymap},
		{"users", w.accounts},
		{"ssh", w.ssh},
		{"network", w.network},
		{"ntp", w.clock},
		{"proxy", w.proxy},
		{"ca", w.trust},
		{"configure", w.configure},
		{"files", w.files}, // after the others: a file of the settings wins over what they make
		{"SELinux", w.selinux},
	} {
		if err := step.do(ctx); err != nil {
			if sysroot.FromTree(err) && !errors.Is(err, ErrImage) {
				err = fmt.Errorf("%w: %w", ErrImage, err)
			}
			return fmt.Errorf("applying the settings of %s: %w", step.what, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// HasCloudInit reports whether the system in root has cloud-init, and did not turn it off.
func HasCloudInit(root *os.Root) bool {
	d := sysroot.Dir{Root: root}
	return !d.HasFile("etc/cloud/cloud-init.disabled") && d.Program("cloud-init") != ""
}

// note reports something to the operator.
func (w *writer) note(format string, args ...any) {
	if w.Note != nil {
		w.Note(fmt.Sprintf(format, args...))
	}
}

// lacks is an error about the image.
func lacks(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrImage, fmt.Sprintf(format, args...))
}
