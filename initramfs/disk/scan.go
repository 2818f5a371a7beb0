package disk

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Device is an opened disk. Where it also has a method Identify() (model, serial string), as what Open returns
// has, the hardware is asked for what sysfs does not tell.
type Device interface {
	io.ReaderAt
	io.Closer
}

// Options of Scan; the zero value lists every disk.
type Options struct {
	Dev  string   // folder of the device files; "" means "/dev"
	Hide []string // names of disks that are not to be shown, "sda": the one the machine booted from, or uses
}

// Scan lists the disks that could be installed on, ordered by name. sys is /sys (block/* and what it links to).
// RAM disks, loops, optical and floppy drives, device-mapper and md arrays, boot areas of eMMC, hidden paths of
// multipath NVMe and readers without a medium are left out.
//
// A disk that cannot be opened or read is still listed, without content and read-only, so that nobody takes it for
// blank; the error tells which.
func Scan(sys fs.FS, open func(path string) (Device, error), o Options) ([]Disk, error) {
	entries, err := fs.ReadDir(sys, "block")
	if err != nil {
		return nil, fmt.Errorf("listing disks: %w", err)
	}
	if o.Dev == "" {
		o.Dev = "/dev"
	}
	var disks []Disk
	var bad error
	for _, e := range entries {
		name := e.Name()
		if !whole(name) || slices.Contains(o.Hide, name) {
			continue
		}
		d, ok := fromSysfs(sys, name)
		if !ok {
			continue
		}
		d.Path = path.Join(o.Dev, strings.ReplaceAll(name, "!", "/"))
		if err := d.look(open); err != nil {
			d.ReadOnly = true
			bad = fmt.Errorf("looking at %s: %w", d.Path, err)
		}
		disks = append(disks, d)
	}
	return disks, bad
}

// Find looks at the one disk whose device file is path, as Scan does: a name goes from disk to disk when one is
// unplugged, and a list is as old as it is.
func Find(sys fs.FS, open func(path string) (Device, error), path string) (Disk, error) {
	d, ok := fromSysfs(sys, strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "!"))
	if !ok {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, fs.ErrNotExist)
	}
	d.Path = path
	if err := d.look(open); err != nil {
		return Disk{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	return d, nil
}

// whole says whether a name in /sys/block is a disk's.
func whole(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md", "mtdblock", "nbd", "drbd", "rbd", "zd", "bcache"} {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" && (rest[0] >= '0' && rest[0] <= '9' || rest[0] == '_') {
			return false
		}
	}
	return !strings.HasPrefix(name, "mmcblk") || !strings.Contains(name, "boot") && !strings.Contains(name, "rpmb")
}

func fromSysfs(sys fs.FS, name string) (Disk, bool) {
	attr := func(p string) string {
		b, err := fs.ReadFile(sys, path.Join("block", name, p))
		if err != nil || len(b) > 4096 {
			return ""
		}
		return clean(string(b))
	}
	sectors, err := strconv.ParseInt(attr("size"), 10, 64)
	if err != nil || sectors <= 0 || sectors > 1<<53 || attr("hidden") == "1" {
		return Disk{}, false
	}
	d := Disk{
		Name:       name,
		Size:       sectors * 512, // always in 512, whatever the disk's sectors are
		SectorSize: 512,
		Removable:  attr("removable") == "1",
		ReadOnly:   attr("ro") == "1",
		Model:      attr("device/model"),
	}
	if n, err := strconv.Atoi(attr("queue/logical_block_size")); err == nil && n >= 512 && n <= 65536 {
		d.SectorSize = n
	}
	link, _ := fs.ReadLink(sys, path.Join("block", name))
	d.Bus = bus(name, link)
	if vendor := attr("device/vendor"); vendor != "" && vendor != "ATA" && !strings.HasPrefix(vendor, "0x") {
		d.Model = strings.TrimSpace(vendor + " " + d.Model)
	}
	if d.Model == "" {
		d.Model = attr("device/name") // eMMC and SD cards
	}
	for _, p := range []string{"serial", "device/serial"} {
		if d.Serial == "" {
			d.Serial = attr(p)
		}
	}
	if d.Serial == "" {
		if b, err := fs.ReadFile(sys, path.Join("block", name, "device/vpd_pg80")); err == nil {
			d.Serial = vpdSerial(b)
		}
	}
	if d.Serial == "" && d.Bus == "usb" {
		d.Serial = usbSerial(sys, link)
	}
	return d, true
}

// bus tells how the disk hangs on the machine, from its name and its place among the devices.
func bus(name, link string) string {
	switch {
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "mmcblk"):
		return "mmc"
	case strings.Contains(link, "/usb"):
		return "usb"
	case strings.Contains(link, "/ata"):
		return "sata"
	case strings.HasPrefix(name, "sd"):
		return "scsi"
	}
	return ""
}

// vpdSerial reads the Unit Serial Number page (SPC-4 section 7.8.15): 00, 80, two bytes of length, the serial.
func vpdSerial(b []byte) string {
	if len(b) < 4 || b[1] != 0x80 {
		return ""
	}
	n := int(b[2])<<8 | int(b[3])
	return clean(string(b[4:min(len(b), 4+n)]))
}

// usbSerial climbs from the disk to the USB device that it is a part of: the nearest folder with a serial.
func usbSerial(sys fs.FS, link string) string {
	for p := path.Join("block", link); strings.Contains(p, "/usb"); p = path.Dir(p) {
		if b, err := fs.ReadFile(sys, path.Join(p, "serial")); err == nil && len(b) < 4096 {
			return clean(string(b))
		}
	}
	return ""
}

// look opens the disk and reads what is on it.
func (d *Disk) look(open func(string) (Device, error)) error {
	dev, err := open(d.Path)
	if err != nil {
		return err
	}
	defer dev.Close()
	if id, ok := dev.(interface{ Identify() (model, serial string) }); ok && (d.Serial == "" || d.Model == "" || d.Bus == "sata") {
		model, serial := id.Identify()
		if d.Serial == "" {
			d.Serial = clean(serial)
		}
		if m := clean(model); len(m) > len(d.Model) { // sysfs cuts it at 16 characters for SATA
			d.Model = m
		}
	}
	d.Content, err = Inspect(dev, d.Size, d.SectorSize)
	return err
}

// Mounted reads /proc/self/mountinfo and returns the names of the disks that filesystems are mounted from, for
// Options.Hide. sys is /sys.
func Mounted(sys fs.FS, mountinfo string) []string {
	var names []string
	for line := range strings.Lines(mountinfo) {
		_, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(after)
		if !ok || len(f) < 2 {
			continue
		}
		dev, ok := strings.CutPrefix(f[1], "/dev/")
		if !ok {
			continue
		}
		entries, _ := fs.ReadDir(sys, "block")
		for _, e := range entries {
			_, err := fs.Stat(sys, path.Join("block", e.Name(), dev))
			if (e.Name() == dev || err == nil) && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	return names
}
