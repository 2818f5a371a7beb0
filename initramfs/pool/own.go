package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/subvolume"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// Own is a root that is a partition.
type Own struct {
	bootloader.OwnRoot
	Filesystem string // "ext4" or "xfs"
	Node       string // device file; "" if no partition of the disk has this filesystem
}

// imageFile says which image a root was made of, and by its time when; newroot.ImageFile.
const imageFile = "/usr/lib/griddle/image"

// ownOf are the roots that the pool in a partition knows. Partitions of the same disk alone are meant.
func ownOf(path string, c content.Content, node string) ([]Own, error) {
	// A pool that is mounted for writing cannot be mounted only for reading; then a mount more changes nothing.
	top, err := subvolume.ReadOther("ext4", node)
	if errors.Is(err, unix.EBUSY) {
		top, err = subvolume.Other("ext4", node)
	}
	if err != nil {
		return nil, err
	}
	known, err := readOwn(top.Dir())
	if err := errors.Join(err, top.Close()); err != nil {
		return nil, fmt.Errorf("looking for the roots on %s: %w", path, err)
	}
	var out []Own
	for _, r := range known {
		own := Own{OwnRoot: r}
		for _, p := range c.Partitions {
			if p.UUID != r.UUID || p.Signature.Type != "ext4" && p.Signature.Type != "xfs" {
				continue
			}
			own.Filesystem = p.Signature.Type
			if own.Node, err = disk.Node(path, "/sys", p.Number); err != nil {
				return nil, err
			}
		}
		out = append(out, own)
	}
	return out, nil
}

// hereOwn is the place of a system that runs from a root in a partition.
func hereOwn(path, part string) (Place, error) {
	p, err := On(path)
	if err != nil {
		return Place{}, err
	}
	if !slices.ContainsFunc(p.Own, func(o Own) bool { return o.Node == part }) {
		return Place{}, fmt.Errorf("looking for the pool of this system: %w: / is %s, which is not a root", ErrNone,
			part)
	}
	return p, nil
}

// own are the roots that are partitions, for grub.cfg.
func (p Place) own() (out []bootloader.OwnRoot) {
	for _, o := range p.Own {
		out = append(out, o.OwnRoot)
	}
	return out
}

// filesystem is the UUID of the pool's filesystem.
func (p *Pool) filesystem() (string, error) {
	if len(p.place.Own) == 0 {
		id, err := subvolume.Filesystem(p.dir)
		return uuid.UUID(id).String(), err
	}
	return p.place.PoolID, nil
}

// openOwn opens a place whose roots are partitions. A root that cannot be mounted is missing in what Read lists.
func openOwn(place Place, mount func(kind, node string) (*subvolume.Mounted, error), fat func(node string) (
	*subvolume.Mounted, error)) (*Pool, error) {
	top, err := mount("ext4", place.Pool)
	if err != nil {
		return nil, err
	}
	p := &Pool{place: place, dir: top.Dir(), close: []func() error{top.Close}, own: map[string]*subvolume.Mounted{}}
	for _, o := range place.Own {
		if o.Node == "" {
			continue
		}
		if m, err := mount(o.Filesystem, o.Node); err == nil {
			p.own[o.Name], p.close = m, append(p.close, m.Close)
		}
	}
	if p.noESP = place.noESP; place.ESP == "" {
		return p, nil
	}
	if st, err := os.Stat(place.ESP); err == nil && st.IsDir() {
		p.esp = place.ESP
	} else if esp, err := fat(place.ESP); err != nil {
		p.noESP = err
	} else {
		p.esp, p.close = esp.Dir(), append(p.close, esp.Close)
	}
	return p, nil
}

// ownRoots are the roots that are partitions.
func (p *Pool) ownRoots(used inUse) (out []Root) {
	for _, o := range p.place.Own {
		var st unix.Stat_t
		if p.own[o.Name] == nil || unix.Stat(p.RootDir(o.Name), &st) != nil {
			continue
		}
		r := Root{Name: o.Name, Own: true, Runs: st.Dev == used.root, InUse: used.any[st.Dev]}
		if file, err := os.Lstat(p.RootDir(o.Name) + imageFile); err == nil {
			r.Created = file.ModTime()
		}
		p.look(&r)
		out = append(out, r)
	}
	return out
}

// sync returns when all that was written to the pool and its roots is durable.
func (p *Pool) sync() error {
	err := subvolume.Sync(p.dir)
	for _, m := range p.own {
		err = errors.Join(err, subvolume.Sync(m.Dir()))
	}
	return err
}
