package facts

import (
	"errors"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/pool"

	"golang.org/x/sys/unix"
)

// poolOf is what the pool in a partition of the disk at path has; nil if it has no pool that an install finished.
func poolOf(path, node string) (*content.PoolContent, error) {
	place, err := pool.On(path)
	if err != nil || place.Pool != node {
		return nil, nil // it is another btrfs
	}
	c, err := pool.Look(place)
	if errors.Is(err, unix.EBUSY) {
		return nil, nil // a person has opened it
	}
	if err != nil {
		return nil, err
	}
	p := &content.PoolContent{}
	for _, i := range c.Images {
		p.Images = append(p.Images, pool.Label(i.Name))
	}
	for _, r := range c.Roots {
		root := content.Root{Name: pool.Label(r.Name), Good: r.Good, Next: r.Boots, Reset: string(r.Reset)}
		if r.Image != "" {
			root.Image = pool.Label(r.Image)
		}
		p.Roots = append(p.Roots, root)
	}
	return p, nil
}
