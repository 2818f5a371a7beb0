// Package pool reads and changes what an installed machine has in its pool: which roots and images there are, which
// root runs and which one boots.
//
// Call Here on the installed system, or On with a disk of a machine that booted from the network, and Open with the
// Place. Then Read, and Boot, DeleteRoot, DeleteImage or System. An update calls Switch, and the root that it made
// calls Bless when it proved itself. Close unmounts.
//
//	@roots/NAME    a system, writable; a machine runs one of them
//	@images/NAME   an image as received, read-only: the parent of the roots that were made of it, and of later updates
//	@home          /home of every root
//	@persistent    /persistent of every root
//
// A machine can have its roots in partitions of their own (Own). Then the pool is an ext4 with the folders @home,
// @persistent and @roots, the last of which is empty; there are no images, and nothing is deleted.
//
// A pool can be encrypted. GRUB cannot read it then, and what it needs of each root is copied into a partition beside
// it (package bootcopy), before a change of what boots. On finds such a pool by the mark in the header of its volume,
// which needs no key; Place.Pool is the opened volume. On the system that runs it is open, and the boot image calls
// Unlock before Open. After a kernel or an initrd changed in a root, CopyKernels copies it.
//
// A root can be a base: one that no one works on. What starts in its place are fresh roots, snapshots of it that are
// used once; package reset makes them. Root and Contents speak of the base: it runs if a fresh root of it runs.
//
// # What it guarantees
//
// The pool is mounted where no other program sees it, also while the installed system runs from it. The root that runs,
// the root that boots, the good root and the last root are never deleted. What boots changes by one write to the EFI
// system partition (package bootenv): after a crash the machine boots the old root or the new one. A root that is tried
// and does not prove itself is not started again: the good root is. One change at a time: another program that uses
// this package waits.
//
// A pool of an earlier version, whose grub.cfg names the root that boots, is read as well. The first change gives it a
// grubenv, and then a new grub.cfg by one rename: until then GRUB boots by the old one.
//
// The pool may be hostile. Names are shown by Label, which is safe on a screen; symlinks are not followed; what is not
// a subvolume is neither listed nor deleted.
package pool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// The folders of roots and of images.
const (
	roots  = bootloader.Roots
	images = "@images"
)

// Pool is an opened pool.
type Pool struct {
	place  Place
	dir    string    // of its top
	esp    string    // of the EFI system partition, of a mirror the first one; "" if it cannot be mounted
	noESP  error     // why
	halves []Half    // of a mirror: all its disks
	boot   *bootPart // nil if GRUB reads the pool itself
	close  []func() error
	own    map[string]*subvolume.Mounted // the roots that are partitions, and can be mounted

	mounts string // the table of mounts; "" means /proc/self/mountinfo
}

// Root is a system in the pool.
type Root struct {
	Name    string
	Image   string    // in the pool, that it was made of; "" if that was deleted
	Created time.Time // zero if it is not known
	Boots   bool      // GRUB would start it now
	Runs    bool      // now, as the system of this machine
	InUse   bool      // it is mounted, so it cannot be deleted; true if it runs
	Kernel  bool      // it has one
	Good    bool      // it proved itself once
	Inner   []string  // subvolumes in it, by their paths
	Reset   job.Reset // "" if the root itself starts; else it is a base, and its fresh roots start

	Own bool // it is a partition

	failed bool         // it was tried, and did not prove itself
	marked time.Time    // when it proved itself last
	proves bool         // it has the unit that does so
	madeOf subvolume.ID // see the file madeOf
}

// Image is an image in the pool.
type Image struct {
	Name    string
	Created time.Time
	Roots   []string // that were made of it
	InUse   bool
}

// Contents is what a pool has.
type Contents struct {
	Roots  []Root  // the newest first
	Images []Image // the newest first

	Boots   string // the root that GRUB would start now
	NoBoots error  // why Boots is not known: ErrNoneStarts, or what cannot be read (Unread)

	Fresh []Fresh // roots that start in the place of their bases, by base and number

	Good      string // the root that proved itself last, which boots if the candidate does not; "" if grubenv is lost
	Candidate string // the root that is tried before it; "" for none
	Tries     int    // how often the candidate may still start; 0 means that it runs its last try, or failed

	Size int64 // bytes of the filesystem
	Free int64

	conf bootloader.Config // of grub.cfg; zero if it cannot be read
	boot *bootloader.Boot  // of an encrypted pool
	env  bootenv.Env       // of grubenv, where the candidate may be a fresh root
}

// MadeOf has the image of each root, by the name of the root; "" for one whose image was deleted.
func (c Contents) MadeOf() map[string]string {
	out := map[string]string{}
	for _, r := range c.Roots {
		out[r.Name] = r.Image
	}
	return out
}

// Label is a name as people see and type it: the name itself, or in quotes if a screen could not show all of it.
func Label(name string) string {
	if name == job.Printable(name) && name != "" && name[0] != '"' {
		return name
	}
	return strconv.QuoteToASCII(name)
}

// Read lists what the pool has.
func (p *Pool) Read() (Contents, error) {
	c := Contents{}
	c.conf, c.NoBoots = p.readConfig()
	if env, err := p.readEnv(c.conf); err != nil {
		c.NoBoots = cmp.Or(c.NoBoots, err)
	} else {
		c.Good, c.Candidate, c.Tries, c.env = env.Good, env.Candidate, env.Tries, env
	}
	if c.boot = c.conf.Boot; c.boot == nil && p.boot != nil {
		c.boot = &p.boot.of
	}
	used, err := p.used()
	if err != nil {
		return Contents{}, err
	}
	byID := map[subvolume.ID]int{}
	err = p.list(images, func(name string, i subvolume.Info) error {
		byID[i.ID] = len(c.Images)
		c.Images = append(c.Images, Image{Name: name, Created: i.Created, InUse: used.any[i.Device]})
		return nil
	})
	if err != nil {
		return Contents{}, err
	}
	c.Roots = p.ownRoots(used)
	err = p.list(roots, func(name string, i subvolume.Info) error {
		r := Root{Name: name, Created: i.Created, Runs: i.Device == used.root, InUse: used.any[i.Device]}
		p.look(&r)
		if r.Inner, err = subvolume.Inner(filepath.Join(p.dir, roots, name)); err != nil {
			return err
		}
		at, ok := byID[i.Parent]
		if !ok {
			at, ok = byID[r.madeOf]
		}
		if ok {
			r.Image = c.Images[at].Name
			c.Images[at].Roots = append(c.Images[at].Roots, name)
		}
		c.Roots = append(c.Roots, r)
		return nil
	})
	if err != nil {
		return Contents{}, err
	}
	c.setFresh()
	c.setBoots()
	slices.SortStableFunc(c.Roots, func(a, b Root) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(c.Images, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	var st unix.Statfs_t
	if err := unix.Statfs(p.dir, &st); err != nil {
		return Contents{}, fmt.Errorf("reading the pool: %w", err)
	}
	c.Size, c.Free = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	return c, nil
}

// list calls do for each subvolume in a folder of the pool.
func (p *Pool) list(folder string, do func(name string, i subvolume.Info) error) error {
	top, err := os.OpenRoot(p.dir)
	if err != nil {
		return fmt.Errorf("reading the pool: %w", err)
	}
	defer top.Close()
	entries, err := sysroot.Dir{Root: top}.List(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the pool: %w", err)
	}
	for _, e := range entries {
		i, err := subvolume.Read(filepath.Join(p.dir, folder, e.Name()))
		if errors.Is(err, subvolume.ErrOther) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = do(e.Name(), i)
		}
		if err != nil {
			return fmt.Errorf("reading the pool: %w", err)
		}
	}
	return nil
}

// look fills in what the files of a root say.
func (p *Pool) look(r *Root) {
	top, err := os.OpenRoot(p.RootDir(r.Name))
	if err != nil {
		return
	}
	defer top.Close()
	r.Kernel = p.hasKernel(top)
	if st, err := top.Lstat(Marker); err == nil && st.Mode().IsRegular() {
		r.Good, r.marked = true, st.ModTime()
	}
	r.Reset = resetOf(sysroot.Dir{Root: top})
	r.madeOf = readMadeOf(top)
	r.proves = sysroot.Dir{Root: top}.Has("etc/systemd/system/" + blessing)
}

// Close unmounts the pool. It is durable.
func (p *Pool) Close() error {
	var errs error
	for _, c := range slices.Backward(p.close) {
		errs = errors.Join(errs, c())
	}
	p.close = nil
	return errs
}
