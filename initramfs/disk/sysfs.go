package disk

import (
	"io/fs"
	"path"
	"strconv"
	"strings"

	"griddle/initramfs/disk/content"
)

// whole says whether a name in /sys/block is a disk's.
func whole(name string) bool {
	for _, p := range []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md", "mtdblock", "nbd", "drbd",
		"rbd", "zd", "bcache"} {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" &&
			(rest[0] >= '0' && rest[0] <= '9' || rest[0] == '_') {
			return false
		}
	}
	// mmcblk0boot0, mmcblk0rpmb and mmcblk0gp0 are areas beside the disk.
	rest, mmc := strings.CutPrefix(name, "mmcblk")
	return !mmc || rest != "" && strings.Trim(rest, "0123456789") == ""
}

// attribute reads one attribute of sysfs, "" where it is absent or absurdly long.
func attribute(sys fs.FS, name string) string {
	b, err := fs.ReadFile(sys, name)
	if err != nil || len(b) > 4096 {
		return ""
	}
	return content.Clean(string(b))
}

func fromSysfs(sys fs.FS, name string) (Disk, bool) {
	attr := func(p string) string { return attribute(sys, path.Join("block", name, p)) }
	sectors, err := strconv.ParseInt(attr("size"), 10, 64)
	if err != nil || sectors <= 0 || sectors > 1<<53 || attr("hidden") == "1" {
		return Disk{}, false
	}
	d := Disk{
		Name:     name,
		Size:     sectors * 512, // always in 512, whatever the disk's sectors are
		ReadOnly: attr("ro") == "1",
		Model:    attr("device/model"),
	}
	d.SectorSize = sector(attr("queue/logical_block_size"), 512)
	d.Physical = max(d.SectorSize, sector(attr("queue/physical_block_size"), 0))
	link, _ := fs.ReadLink(sys, path.Join("block", name))
	d.Bus = bus(name, link)
	d.Removable = removable(sys, d, link)
	d.Rotational = rotational(attr("queue/rotational"), d.Bus)
	d.BootAreas = bootAreas(sys, name)
	for _, p := range []string{"device/firmware_rev", "device/rev", "device/fwrev"} {
		if d.Firmware == "" {
			d.Firmware = attr(p)
		}
	}
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
	for _, p := range []string{"wwid", "device/wwid"} {
		// "t10." and a vendor's text is made of model and serial, which are known.
		if w := attr(p); d.WWN == "" && !strings.HasPrefix(w, "t10.") {
			d.WWN = w
		}
	}
	d.Place = place(sys, d, link)
	return d, true
}

// bus says how the disk is connected to the machine, from its name and its place among the devices. What people plug in
// comes first: a disk behind it may have any name.
func bus(name, link string) string {
	switch {
	case strings.Contains(link, "/usb"):
		return "usb"
	case strings.Contains(link, "/fw"): // fw0/fw0.0: IEEE 1394
		return "firewire"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "mmcblk"):
		return "mmc"
	case strings.Contains(link, "/ata"):
		return "sata"
	case strings.HasPrefix(name, "sd"):
		return "scsi"
	}
	return ""
}

// removable says whether people take the disk out and put it into another machine. The kernel's own attribute is for
// drives whose medium comes out, and is 0 for SD cards, most sticks and disks in a box: their bus tells.
func removable(sys fs.FS, d Disk, link string) bool {
	attr := func(p string) string { return attribute(sys, path.Join("block", d.Name, p)) }
	switch {
	case attr("removable") == "1", d.Bus == "usb", d.Bus == "firewire":
		return true
	case d.Bus == "mmc":
		return attr("device/type") != "MMC" // eMMC is soldered; "SD" and "SDcombo" are cards
	case strings.HasPrefix(d.Name, "mspblk"), strings.HasPrefix(d.Name, "msblk"), strings.HasPrefix(d.Name, "pcd"),
		strings.Contains(link, "/pcmcia"):
		return true
	}
	// The driver core says it of what is behind a port outside the box, Thunderbolt above all
	// (Documentation/ABI/testing/sysfs-devices-removable).
	for p := path.Join("block", path.Dir(link)); strings.Contains(p, "devices"); p = path.Dir(p) {
		if attribute(sys, path.Join(p, "removable")) == "removable" {
			return true
		}
	}
	return false
}

// place names where a disk is plugged in as udev does for /dev/disk/by-path (systemd src/udev/udev-builtin-path_id.c),
// for virtio, NVMe and SATA disks without a port multiplier; "" for others.
func place(sys fs.FS, d Disk, link string) string {
	pci, rest := "", ""
	parts := strings.Split(link, "/")
	for i, p := range parts {
		if len(p) == len("0000:00:1f.2") && p[4] == ':' && p[7] == ':' && p[10] == '.' {
			pci, rest = "pci-"+p, strings.Join(parts[i+1:], "/")
		}
	}
	if pci == "" {
		return ""
	}
	switch d.Bus {
	case "virtio":
		return pci
	case "nvme":
		if ns := attribute(sys, path.Join("block", d.Name, "nsid")); ns != "" {
			return pci + "-nvme-" + ns
		}
	case "sata":
		ata, after, _ := strings.Cut(rest, "/")
		dir, _, _ := strings.Cut(path.Join("block", link), "/"+ata+"/")
		port := attribute(sys, path.Join(dir, ata, "ata_port", ata, "port_no"))
		if port != "" && !strings.Contains(after, "/link") && strings.Contains(after, ":0:0:0/") {
			return pci + "-ata-" + port
		}
	}
	return ""
}

// vpdSerial reads the Unit Serial Number page (SPC-4 section 7.8.15): 00, 80, two bytes of length, the serial.
func vpdSerial(b []byte) string {
	if len(b) < 4 || b[1] != 0x80 {
		return ""
	}
	n := int(b[2])<<8 | int(b[3])
	return content.Clean(string(b[4:min(len(b), 4+n)]))
}

// usbSerial climbs from the disk to the USB device that it is a part of: the nearest folder with a serial.
func usbSerial(sys fs.FS, link string) string {
	for p := path.Join("block", link); strings.Contains(p, "/usb"); p = path.Dir(p) {
		if b, err := fs.ReadFile(sys, path.Join(p, "serial")); err == nil && len(b) < 4096 {
			return content.Clean(string(b))
		}
	}
	return ""
}
