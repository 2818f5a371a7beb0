// Package kexec starts a root of the pool without the firmware and the boot loader: the kernel that runs loads the next
// one and jumps into it. That spares half a minute on most computers, and minutes on servers.
//
// On an installed system call Restart, in the boot image Leave. Both start the root that the boot loader would start,
// with the kernel and the command line that it would take (FindKernel and CommandLine of package bootloader), and two
// words more: griddle.kexec, and griddle.try if the root is on trial. An error says why that is not possible. All is as
// before then, and an ordinary restart starts the same root.
//
// # What it guarantees
//
// A start on trial is counted in grubenv before the jump, as GRUB counts it: a root that does not come up is followed
// by the good one. The attempt is written down before the jump (package attempt). If it does not come up, this machine
// does not try it again: it restarts in the ordinary way, until its disk is in a machine of another model.
//
// The running kernel decides what it loads: if it is locked down, it takes only kernels with a signature that it knows.
// Nothing here works around that.
//
// Sources: kexec_file_load(2), reboot(2); systemd 252 systemctl-start-special.c (load_kexec_kernel), which uses a
// kernel that is loaded already; measured on Debian 12.
package kexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/pool"
	"griddle/initramfs/sysroot"
)

// ErrFailedBefore is wrapped if the last start by kexec did not come up on a machine of this model.
var ErrFailedBefore = errors.New("the last one did not come up on this model")

// machine is what a start needs of the machine, apart from its pool.
type machine struct {
	load   func(kernel, initrd *os.File, commandLine string) error // initrd may be nil
	unload func() error
	start  attempt.Start
	model  attempt.Model
}

// loaded is a root that waits for the jump.
type loaded struct {
	machine
	pool   *pool.Pool
	root   string
	takes  string // the root itself, or a fresh root of it
	try    bool
	before *attempt.Attempt // that the record had
}

// prepare makes all ready for the jump into a root. After an error nothing is changed.
func (m machine) prepare(p *pool.Pool, root string) (*loaded, error) {
	l := &loaded{machine: m, pool: p, root: root}
	err := l.prepare()
	if err != nil {
		return nil, fmt.Errorf("starting %s without the firmware: %w", pool.Label(root), err)
	}
	return l, nil
}

func (l *loaded) prepare() (err error) {
	record, err := pool.Persistent(l.pool.Dir())
	if err != nil {
		return fmt.Errorf("opening the folder for the record: %w", err)
	}
	defer record.Close()
	if l.before, err = attempt.Settle(record, l.start); err != nil {
		return err
	}
	if b := l.before; b != nil && b.State == attempt.Failed && b.Model == l.model {
		return fmt.Errorf("%w (%s, %s); remove %s to try it again", ErrFailedBefore, b.Root,
			b.Time.Format(time.DateOnly), filepath.Join("/persistent", machinekey.Folder, attempt.File))
	}
	kernel, err := l.loadKernel()
	if err != nil {
		return err
	}
	undo := []func() error{l.unload}
	defer func() {
		for i := len(undo) - 1; i >= 0 && err != nil; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	undo = append(undo, func() error { return attempt.Restore(record, l.before) })
	if err := attempt.Write(record, attempt.Attempt{Time: time.Now(), Model: l.model, Root: l.root, Kernel: kernel,
		Boot: l.start.Boot, State: attempt.Tried}); err != nil {
		return err
	}
	try, err := l.pool.CountStart(l.takes)
	if try {
		undo = append(undo, func() error { return l.pool.UncountStart(l.takes) })
	}
	if err == nil && try != l.try {
		err = errors.New("another program changed meanwhile what boots")
	}
	return err
}

// loadKernel loads the kernel of the root, and returns its path there.
func (l *loaded) loadKernel() (string, error) {
	has, err := l.pool.Read()
	if err != nil {
		return "", err
	}
	if has.NoBoots != nil {
		return "", has.NoBoots
	}
	next, try := has.Next()
	if l.try = try; l.root != next {
		return "", fmt.Errorf("the boot loader starts %s", pool.Label(next))
	}
	l.takes = has.Takes()
	line, err := commandLine(l.pool, l.takes, try)
	if err != nil {
		return "", err
	}
	from, err := l.pool.StartDir(l.takes)
	if err != nil {
		return "", err
	}
	dir, err := os.OpenRoot(from)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	k, err := bootloader.FindKernel(dir)
	if err != nil {
		return "", err
	}
	kernel, err := dir.Open(k.Path)
	if err != nil {
		return "", err
	}
	defer kernel.Close()
	var initrd *os.File
	if k.Initrd != "" {
		if initrd, err = dir.Open(k.Initrd); err != nil {
			return "", err
		}
		defer initrd.Close()
	}
	if err := l.load(kernel, initrd, line); err != nil {
		return "", fmt.Errorf("loading /%s: %w", k.Path, err)
	}
	return k.Path, nil
}

// commandLine is that of a root's kernel.
func commandLine(p *pool.Pool, root string, try bool) (string, error) {
	if p.Missing() > 0 { // GRUB sees by itself how many disks there are
		return "", errors.New("a disk of the mirror is missing")
	}
	esp, err := p.ESP()
	if err != nil {
		return "", err
	}
	conf, err := bootloader.ReadConfig(esp)
	if err != nil {
		return "", err
	}
	conf.Root = "@roots/" + root
	own, err := ownArguments(p, root)
	if err != nil {
		return "", err
	}
	if own != nil {
		conf.Args = own.All
	}
	line, err := conf.CommandLine()
	if err != nil {
		return "", err
	}
	if try {
		line += " " + bootloader.Try
	}
	return line + " " + attempt.Word, nil
}

// ownArguments are the kernel arguments that a root has of its own, nil for none.
func ownArguments(p *pool.Pool, root string) (*arguments.Arguments, error) {
	from, err := p.StartDir(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(from)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return arguments.Read(sysroot.Dir{Root: dir})
}

// cancel takes back what prepare did: the jump does not happen.
func (l *loaded) cancel() error {
	var err error
	if l.try {
		err = l.pool.UncountStart(l.takes)
	}
	record, err2 := pool.Persistent(l.pool.Dir())
	if err2 == nil {
		err2 = errors.Join(attempt.Restore(record, l.before), record.Close())
	}
	return errors.Join(err, err2, l.unload())
}
