package disk

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Device is an opened disk. Where it also has a method Identify() (model, serial string), as what Open returns
// has, the hardware is asked for what sysfs does not tell.
type Device interface {
	io.ReaderAt
	io.Closer
}

// Find looks at the one disk whose device file is path, as Scanner does, and reads no samples: a name goes from disk to
// disk when one is unplugged, and a list is as old as it is.
func Find(sys fs.FS, open func(path string) (Device, error), path string) (Disk, error) {
	d, ok := fromSysfs(sys, strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "!"))
	if !ok {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, fs.ErrNotExist)
	}
	d.Path = path
	dev, err := open(path)
	if err != nil {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	defer dev.Close()
	d.identify(dev)
	if d.Content, err = Inspect(dev, d.Size, d.SectorSize); err != nil {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	return d, nil
}

// identify asks the hardware of an opened disk what sysfs did not say.
func (d *Disk) identify(dev Device) {
	id, ok := dev.(interface{ Identify() (model, serial string) })
	if !ok || d.Serial != "" && d.Model != "" && d.Bus != "sata" {
		return
	}
	model, serial := id.Identify()
	if d.Serial == "" {
		d.Serial = clean(serial)
	}
	if m := clean(model); len(m) > len(d.Model) { // sysfs cuts it at 16 characters for SATA
		d.Model = m
	}
}
