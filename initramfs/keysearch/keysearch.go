// Package keysearch finds the key that an earlier install left on the disks of a machine, and changes none of them.
//
// Call Newest with the disks as disk.Scanner lists them, before anything opens a disk for itself.
//
// A candidate is a btrfs partition with the name that an install gives its pool, finished or not. Its subvolume
// @persistent is mounted read-only and without a replay of its log (rescue=nologreplay, btrfs(5)), so every byte of the
// disk stays as it is. It is unmounted before Newest returns. So is the ext4 of a machine whose roots are partitions,
// with noload (ext4(5)); there @persistent is a folder.
//
// The content of a disk is hostile: names are opened below the subvolume alone and through no symlink, package
// machinekey reads a small regular file of root's and nothing else, and at most maxPools pools are tried. What goes
// wrong is reported and not an error: a boot without an earlier key makes a new one.
package keysearch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"griddle/initramfs/disk"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/superblock"
)

// maxPools is how many pools are tried: a machine has one or two.
const maxPools = 16

// limit is how long one pool may take: a disk that fails can hold a mount up for minutes.
const limit = 20 * time.Second

// Key is what an install left.
type Key struct {
	tls.Certificate
	Pool string    // the device file of its pool, "/dev/vda3"
	Kept time.Time // when the key was written
}

// Newest returns the key that was written last. The error is fs.ErrNotExist where no pool has one; notes says why a
// pool gave none.
func Newest(ctx context.Context, disks []disk.Disk) (newest Key, notes []error, err error) {
	nodes := pools(disks)
	return newestOf(ctx, nodes, func(node string) (Key, error) { return read(node, mirrored(node, nodes)) })
}

// newestOf reads each pool.
func newestOf(ctx context.Context, nodes []string, read func(node string) (Key, error)) (newest Key, notes []error,
	err error) {
	err = fs.ErrNotExist
	for _, node := range nodes {
		k, e := within(ctx, node, read)
		switch {
		case e != nil:
			if !errors.Is(e, fs.ErrNotExist) {
				notes = append(notes, fmt.Errorf("looking for a key on %s: %w", node, e))
			}
		case err != nil || k.Kept.After(newest.Kept):
			newest, err = k, nil
		}
	}
	return newest, notes, err
}

// within waits for one pool, but not longer than limit. A pool that takes longer is unmounted when it answers.
func within(ctx context.Context, node string, read func(node string) (Key, error)) (Key, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not answer in %s", limit))
	defer cancel()
	type result struct {
		Key
		error
	}
	done := make(chan result, 1)
	go func() {
		k, err := read(node)
		done <- result{k, err}
	}()
	select {
	case r := <-done:
		return r.Key, r.error
	case <-ctx.Done():
		return Key{}, context.Cause(ctx)
	}
}

// pools are the device files of what may be pools.
func pools(disks []disk.Disk) []string {
	var nodes []string
	for _, d := range disks {
		for _, p := range d.Pools() {
			if p.Signature.Type != "btrfs" && p.Signature.Type != "ext4" || len(nodes) == maxPools {
				continue
			}
			if node, err := disk.Node(d.Path, "/sys", p.Number); err == nil {
				nodes = append(nodes, node)
			}
		}
	}
	return nodes
}

// mirrored are the options by which a pool is mounted that is a mirror: its other devices among these, and degraded if
// one is missing.
func mirrored(node string, nodes []string) (options string) {
	super := func(node string) (s superblock.Super) {
		if f, err := os.Open(node); err == nil {
			s, _ = superblock.Read(f)
			f.Close()
		}
		return s
	}
	own := super(node)
	missing := own.Devices - 1
	for _, other := range nodes {
		if s := super(other); missing > 0 && s.Filesystem == own.Filesystem && s.Device != own.Device {
			options += ",device=" + other
			missing--
		}
	}
	if missing > 0 {
		options += ",degraded"
	}
	return options
}

// read returns the key of one pool, which is mounted with these options.
func read(node, options string) (k Key, err error) {
	at, err := os.MkdirTemp("", "griddle-pool-")
	if err != nil {
		return Key{}, err
	}
	defer os.Remove(at)
	persistent, unmount, err := mount(node, at, options)
	if err != nil {
		return Key{}, err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	return keyBelow(persistent, node)
}

// keyBelow returns the key in the subvolume @persistent that is mounted at a folder.
func keyBelow(at, node string) (Key, error) {
	top, err := os.OpenRoot(at)
	if err != nil {
		return Key{}, err
	}
	defer top.Close()
	if st, err := top.Lstat(machinekey.Folder); err != nil || !st.IsDir() {
		return Key{}, fmt.Errorf("/%s: %w", machinekey.Folder, errors.Join(err, fs.ErrNotExist))
	}
	dir, err := top.OpenRoot(machinekey.Folder)
	if err != nil {
		return Key{}, err
	}
	defer dir.Close()
	k := Key{Pool: node}
	if k.Certificate, err = machinekey.Load(dir); err != nil {
		return Key{}, err
	}
	for _, name := range []string{machinekey.File, machinekey.SealedFile} {
		if st, err := dir.Lstat(name); err == nil && st.ModTime().After(k.Kept) {
			k.Kept = st.ModTime()
		}
	}
	return k, nil
}
