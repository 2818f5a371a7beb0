package pool

import (
	"errors"

	"griddle/initramfs/subvolume"
)

// Look lists what a pool has that is not in use, and changes nothing on its disk: it mounts read-only, and what only
// the log of a crash has is missing. Without the EFI system partition, NoBoots says why it is not known which root
// boots.
func Look(place Place) (c Contents, err error) {
	if err := place.closed(); err != nil {
		return Contents{}, err
	}
	if len(place.Own) > 0 {
		p, err := openOwn(place, subvolume.ReadOther, subvolume.ReadFAT)
		if err != nil {
			return Contents{}, err
		}
		defer func() { err = errors.Join(err, p.Close()) }()
		return p.Read()
	}
	top, err := subvolume.ReadTop(place.Pool, place.options()...)
	if err != nil {
		return Contents{}, err
	}
	p := &Pool{place: place, dir: top.Dir(), close: []func() error{top.Close}}
	defer func() { err = errors.Join(err, p.Close()) }()
	p.openESPs(subvolume.ReadFAT)
	return p.Read()
}
