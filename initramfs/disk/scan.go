package disk

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"griddle/initramfs/disk/content"
)

// Device is an opened disk. If it also has a method Identify() (model, serial, firmware string), as the result of Open
// has, Scanner asks the hardware for what sysfs does not have.
type Device interface {
	io.ReaderAt
	io.Closer
}

// Find looks at the disk whose device file is path, as Scanner does, but reads no samples. A list of disks may be old,
// and a name can belong to another disk after one was unplugged.
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
	if d.Content, err = content.Inspect(dev, d.Size, d.SectorSize); err != nil {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	return d, nil
}

// identify asks the hardware of an opened disk what sysfs did not say.
func (d *Disk) identify(dev Device) {
	id, ok := dev.(interface {
		Identify() (model, serial, firmware string)
	})
	if !ok || d.Serial != "" && d.Model != "" && d.Bus != "sata" {
		return
	}
	model, serial, firmware := id.Identify()
	if d.Serial == "" {
		d.Serial = content.Clean(serial)
	}
	if m := content.Clean(model); len(m) > len(d.Model) { // sysfs cuts it at 16 characters for SATA
		d.Model = m
	}
	if f := content.Clean(firmware); len(f) > len(d.Firmware) { // and this at 4
		d.Firmware = f
	}
}
