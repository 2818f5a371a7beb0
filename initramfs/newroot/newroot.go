// Package newroot makes a system of an image: a root in a pool, which a machine can boot.
//
// Take a writable snapshot of the image, mount it, and call Make with its path. Call Check before anything is written:
// it refuses settings that Make could not apply.
//
//	@roots/NAME    the system: a snapshot of the image, with what Make writes
//	@home          mounted on /home; what the pool has stays, and without one it gets what the image has in /home
//	@persistent    mounted on /persistent; the caller makes it
//	@swap          mounted on /swap, with the swap file; only if the settings have one
//
// A root can be a partition of its own (Own): then there is no swap file, and the system has the pool at PoolMount,
// from where it binds the others.
//
// What the machine mounts beside its pool (package mounts) is mounted too. A filesystem for /home takes the place of
// @home: it gets what the image has in /home and it has not.
//
// Make writes fstab, an identity of its own or what Options.Carry carries over, the agent with its units, GRUB's files
// and the settings, and runs the deploy hooks with all mounted. It syncs nothing: the caller does, before the root
// boots. After an error or a power cut the root is deleted and made again.
//
// The image is signed, but its publisher is not trusted with this machine's other files. Everything is written through
// os.Root, so that a symlink in the image cannot lead outside.
//
// # Settings
//
// An image without cloud-init gets the settings by package initramfs/setting, with @home and @persistent mounted. One
// with cloud-init gets a NoCloud seed in /var/lib/cloud/seed/nocloud, for its first start, and a file that has
// cloud-init look there alone. What settings say of updates is written for both. Then package hook runs the hooks of
// the image and of the settings.
package newroot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/appliance/site"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/hook"
	"griddle/initramfs/mounts"
	"griddle/initramfs/swapfile"
	"griddle/initramfs/sysroot"
)

// Folder is the one of a pool's roots.
const Folder = "@roots"

// ImageFile has the reference of the image that a root was made of, in one line.
const ImageFile = "/usr/lib/griddle/image"

// Options says what the root becomes.
type Options struct {
	Top    string // path of the pool's top
	Node   string // device file of the pool
	PoolID string // UUID of the pool
	ESPID  string // "1234-ABCD", as fstab names a FAT filesystem
	Image  string // path of the image in the pool
	Ref    string // its reference: "web:20261120.1@amd64"
	Kernel string // path of the kernel image, for an image that has no kernel; "" for one that has
	Name   string // of the root, below Folder

	// Own is the filesystem that the root itself is, where it is a partition of its own; nil where it is in the pool.
	// With it the pool is an ext4, with folders in place of subvolumes.
	Own *Own

	Spec     job.Spec                           // Home, Service and ID
	Settings *setting.Settings                  // that Check has accepted; nil if the machine has none
	Machine  hook.Machine                       // for hooks; its Hostname is the one of the system
	Person   hook.Person                        // decides about hooks that fail; nil if no one is at the machine
	Event    func(level job.Level, text string) // gets what an operator should know

	// Copied says that the pool is encrypted: the root has what copies its kernels after an upgrade.
	Copied bool

	// Reset is what is fresh at each start; "" for an ordinary root. The root is a base otherwise, and package reset
	// makes those that start. With job.ResetHome /home is a part of it, and @home is left alone.
	Reset job.Reset

	// Instance is the ID by which cloud-init knows the machine; "" means that of the job: another machine.
	Instance string

	// LocalTime says that the hardware clock has local time, as where a Windows is on the machine too. Without it the
	// root says what its image says.
	LocalTime bool

	// Arguments are the kernel arguments of the root; nil if it starts with those of grub.cfg.
	Arguments *arguments.Arguments

	Agent  string    // path of the static agent, copied to the system for its report; "" leaves that out
	CA     []byte    // PEM of the certificate authority for the report
	Site   site.Site // what the service on the system begins with
	GRUB   string    // folder of the images that bootloader.BuildGRUB made
	Resolv string    // the resolv.conf of this machine, for programs that run in the root

	// Carry writes the identity of the system that this one follows, and what else is kept, into the root. nil makes
	// the root another machine: with a name, keys and a machine ID of its own.
	Carry func(ctx context.Context, root *os.Root) error
}

// making is a root on its way.
type making struct {
	Options
	sysroot.Dir
	dir    string // path of the root
	beside []mounts.Mount
	undo   []func() error
}

// Make makes the root at dir a system. dir is a path in the tree of folders, not one of a subvolume.Mounted.
func Make(ctx context.Context, dir string, o Options) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening root: %w", err)
	}
	defer root.Close()
	m := &making{Options: o, Dir: sysroot.Dir{Root: root}, dir: dir}
	defer func() {
		for i := len(m.undo) - 1; i >= 0; i-- {
			err = errors.Join(err, m.undo[i]())
		}
	}()
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return m.unproved() },
		func(context.Context) error { return m.mounted() },
		func(context.Context) error { return m.volumes() },
		func(context.Context) error { return m.fstab() },
		m.kernel,
		func(context.Context) error { return m.driver() },
		m.become,
		func(context.Context) error {
			return m.Write(strings.TrimPrefix(ImageFile, "/"), []byte(m.Ref+"\n"), 0o644)
		},
		func(context.Context) error { return m.named() },
		func(context.Context) error { return m.arguments() },
		func(context.Context) error { return m.epoch(time.Now()) },
		func(context.Context) error { return m.localTime() },
		func(context.Context) error { return m.agent() },
		func(context.Context) error { return m.copiesKernels() },
		func(context.Context) error { return m.phoneHome() },
		func(context.Context) error { return m.keepGRUB() },
		m.mountVolumes,
		func(context.Context) error { return m.service() },
		m.apply,
		func(context.Context) error { return m.updates() },
		m.hooks,
		func(context.Context) error { return m.resets() },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// become gives the root its identity.
func (m *making) become(ctx context.Context) error {
	if m.Carry == nil {
		return m.identity(m.Machine.Hostname)
	}
	if err := m.Carry(ctx, m.Root); err != nil {
		return err
	}
	if m.hasHostKey() {
		return nil
	}
	return m.hostKeys(m.Machine.Hostname) // the system that it follows had no ssh server
}

// hasSwap says whether the system has the swap file. Without settings, a root that follows another one has it if the
// pool does.
func (m *making) hasSwap() bool {
	if m.Own != nil {
		return false
	}
	if m.Settings != nil {
		return m.Settings.Swap > 0
	}
	_, err := os.Lstat(filepath.Join(m.Top, swapfile.Subvolume))
	return m.Carry != nil && err == nil
}

func (m *making) warn(format string, args ...any) {
	m.Event(job.Warning, job.Sentence(fmt.Sprintf(format, args...)))
}
