// Package disk finds the disks of a machine, and opens them and their partitions.
//
// Start with a Scanner: it lists the disks, with what package content says of each. Claim opens one for writing, and
// package table partitions it. Node finds the device files of its partitions, and MakeBtrfs and MakeFAT make their
// filesystems.
//
// What the hardware says is hostile: strings are made fit to be shown and compared, and attributes have limits.
//
// Sources: the kernel's Documentation/ABI/stable/sysfs-block; SPC-4 section 7.8 (VPD); ACS-3 section 7.12 (IDENTIFY).
package disk

import (
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/smart"
)

// Disk is one whole disk that Scanner found. Its strings come from the hardware, as valid UTF-8 without control
// characters and trimmed.
type Disk struct {
	Name       string // the kernel's: "vda", "nvme0n1"
	Path       string // "/dev/vda"
	Model      string
	Serial     string // "" where the hardware has none
	WWN        string // world-wide name, as the kernel writes it: "naa.5000c500a1b2c3d4", "eui.0025385b71b04e4c", or ""
	Place      string // as udev names it in /dev/disk/by-path: "pci-0000:00:1f.2-ata-1", "" where Scanner does not know
	Bus        string // "virtio", "sata", "nvme", "mmc", "usb", "firewire", "scsi" or ""
	Size       int64  // bytes
	SectorSize int    // logical, bytes
	Physical   int    // size of the sectors inside, bytes: 4096 where SectorSize is 512 makes it "512e"
	Rotational string // Rotates, Solid, or "" where the kernel does not know
	Firmware   string // revision of the disk's own, or ""
	Removable  bool   // also a card in a reader, and a disk behind an external port
	ReadOnly   bool
	Paths      []string // of a disk that several names are of, Path first; else nil
	BootAreas  []string // device files of the areas that an eMMC has beside its disk
	Health     smart.Health
	content.Content
}
