package diskimage

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/cloud/diskimage/kernel"
	"griddle/cloud/diskimage/program"
	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"
)

// ErrNotFound is wrapped where the cache has no such disk.
var ErrNotFound = errors.New("no such disk in the cache")

// Cache keeps the disks that were made:
//
//	DIR/KEY/disk.qcow2      the file, named by its format
//	DIR/KEY/disk.json       a Disk; changed last when it was used last
//	DIR/.build-KEY/         what is being made; its lock is held meanwhile
//	DIR/.locks/00 … ff      locked (flock(2)) while a disk whose key begins so is made or removed
//
// Several processes may have one Cache at the same time.
type Cache struct {
	Dir string // is made where it is missing; disks are unpacked there too: on a filesystem with room
	// the images that bootloader.BuildGRUB makes; nil makes new ones, which needs Debian's GRUB packages
	GRUB     fs.FS
	Kernel   *kernel.Kernel    // for images that have none; nil refuses them
	Progress func(step string) // called with what is being done; may be nil
	Bytes    Bytes             // called with how a long part of a step proceeds; may be nil
	Warn     func(what string) // called with what could not be kept as the image has it; may be nil

	// Keep has the disks that Make returns stay in the cache until Close: see Hold.
	Keep bool
	held held
}

// Bytes reports how many bytes of a part of some work are done; total is zero while it is not known. nil reports
// nothing.
type Bytes func(part string, done, total int64)

func (b Bytes) report(part string, done, total int64) {
	if b != nil {
		b(part, done, total)
	}
}

const infoName = "disk.json"

func (c *Cache) warn(format string, args ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, args...))
	}
}

func (c *Cache) step(s string) {
	if c.Progress != nil {
		c.Progress(s)
	}
}

// Make returns the disk that the options describe, made of the image unless it is in the cache already. It waits while
// another process makes the same one.
func (c *Cache) Make(ctx context.Context, i Image, o Options) (Disk, error) {
	for {
		d, err := c.make(ctx, i, o)
		if err == nil && c.Keep {
			if err = c.hold(d); errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				continue // another process has just removed it
			}
		}
		if err != nil {
			return Disk{}, fmt.Errorf("making a disk of %.200s: %w", i.Ref, err)
		}
		return d, nil
	}
}

func (c *Cache) make(ctx context.Context, i Image, o Options) (Disk, error) {
	o, err := o.filled()
	if err := errors.Join(err, i.validate()); err != nil {
		return Disk{}, err
	}
	b := build{c: c, image: i, s: spec{Recipe: recipe, Image: i.Digest, Arch: i.Arch, Options: o},
		p: program.Runner{Mapped: os.Geteuid() != 0}}
	if o.Format != Tree {
		if b.u, err = c.Kernel.Open(); err != nil {
			return Disk{}, err
		}
		if b.u != nil {
			b.s.Kernel = b.u.Digest
		}
		if b.s.GRUB, err = grubDigest(c.GRUB); err != nil {
			return Disk{}, err
		}
	}
	key := b.s.key()
	unlock, err := c.lock(ctx, key)
	if err != nil {
		return Disk{}, err
	}
	defer unlock()
	if d, err := c.find(key); err == nil {
		now := time.Now()
		return d, durable.Disk{}.Chtimes(filepath.Join(c.Dir, key, infoName), now)
	} else if !errors.Is(err, ErrNotFound) {
		return Disk{}, err
	}
	b.work = filepath.Join(c.Dir, ".build-"+key)
	// The lock is ours: whoever began this is dead.
	if err := b.p.RemoveTree(ctx, b.work); err != nil {
		return Disk{}, err
	}
	if err := os.Mkdir(b.work, 0o700); err != nil {
		return Disk{}, err
	}
	d, err := b.file(ctx)
	if err == nil {
		d, err = c.commit(ctx, b.work, d)
	}
	if err != nil {
		return Disk{}, errors.Join(err, b.p.RemoveTree(ctx, b.work))
	}
	return d, nil
}

// commit gives a finished disk its name. Nothing is in work but its file, when the name is there.
func (c *Cache) commit(ctx context.Context, work string, d Disk) (Disk, error) {
	c.step("computing the digest")
	var err error
	if d.Digest, d.Size, err = fileDigest(ctx, d.Path, c.Bytes); err != nil {
		return Disk{}, err
	}
	if err := os.RemoveAll(filepath.Join(work, "grub")); err != nil {
		return Disk{}, err
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return Disk{}, err
	}
	var disk durable.Disk
	if err := disk.Create(filepath.Join(work, infoName), append(b, '\n'), 0o644); err != nil {
		return Disk{}, err
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return Disk{}, err
	}
	to := filepath.Join(c.Dir, d.Key)
	if err := disk.Rename(work, to); err != nil {
		return Disk{}, err
	}
	d.Path = filepath.Join(to, filepath.Base(d.Path))
	return d, disk.SyncDir(c.Dir)
}

func (c *Cache) lock(ctx context.Context, key string) (unlock func(), err error) {
	var d durable.Disk
	dir := filepath.Join(c.Dir, ".locks")
	if err := d.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	return d.Lock(ctx, filepath.Join(dir, key[:2]))
}

// find returns the disk of a key, or ErrNotFound.
func (c *Cache) find(key string) (Disk, error) {
	name := filepath.Join(c.Dir, key, infoName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Disk{}, fmt.Errorf("%w: %s", ErrNotFound, key)
	}
	if err != nil {
		return Disk{}, fmt.Errorf("reading the cache: %w", err)
	}
	var d Disk
	if err := json.Unmarshal(b, &d); err != nil {
		return Disk{}, fmt.Errorf("reading %s: %w", name, err)
	}
	d.Path = filepath.Join(c.Dir, key, fileName(d.Format))
	st, err := os.Stat(d.Path)
	switch {
	case err != nil:
		return Disk{}, fmt.Errorf("reading the cache: %w", err)
	case d.Key != key || st.Size() != d.Size:
		return Disk{}, fmt.Errorf("reading the cache: %s is not what %s says: remove the directory", d.Path, infoName)
	}
	return d, nil
}

// List returns the disks in the cache, the one used last first. One that cannot be read is an error beside the others.
func (c *Cache) List() ([]Disk, error) {
	all, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the cache: %w", err)
	}
	var disks []Disk
	var errs []error
	used := map[string]time.Time{}
	for _, e := range all {
		if !isHex(e.Name()) {
			continue
		}
		d, err := c.find(e.Name())
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if st, err := os.Stat(filepath.Join(c.Dir, d.Key, infoName)); err == nil {
			used[d.Key] = st.ModTime()
		}
		disks = append(disks, d)
	}
	slices.SortStableFunc(disks, func(a, b Disk) int { return used[b.Key].Compare(used[a.Key]) })
	return disks, errors.Join(errs...)
}

// Find returns the disk with a digest (Disk.Digest) or a key, or ErrNotFound.
func (c *Cache) Find(name string) (Disk, error) {
	if isHex(name) {
		return c.find(name)
	}
	disks, err := c.List()
	for _, d := range disks {
		if d.Digest == name {
			return d, nil
		}
	}
	return Disk{}, errors.Join(fmt.Errorf("%w: %.80s", ErrNotFound, name), err)
}

// fileDigest reads a file once. Holes are read as the zeros that they are.
func fileDigest(ctx context.Context, name string, progress Bytes) (digest string, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	for {
		n, err := io.CopyN(h, f, 64*mib)
		size += n
		progress.report("hashing", size, st.Size())
		if errors.Is(err, io.EOF) {
			return fmt.Sprintf("sha256:%x", h.Sum(nil)), size, nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return "", 0, fmt.Errorf("reading %s: %w", name, err)
		}
	}
}

// grubDigest names the loaders; those that are made anew are the packages', whose version nobody asks for.
func grubDigest(images fs.FS) (string, error) {
	if images == nil {
		return "", nil
	}
	h := sha256.New()
	for _, name := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		b, err := fs.ReadFile(images, name)
		if err != nil {
			return "", fmt.Errorf("reading GRUB's images: %w", err)
		}
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}
