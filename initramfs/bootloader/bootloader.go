// Package bootloader makes an installed disk bootable by BIOS and by UEFI, whichever of them did the install.
//
// BuildGRUB comes first: at build time it makes three files from Debian's GRUB modules. On the machine,
// InstallBIOS writes two of them to the disk itself and InstallESP puts the third one onto the EFI system
// partition, together with grub.cfg (see Config) and an empty grubenv.
//
//	        LBA 0            partition 1 (BIOS boot)        partition 2 (EFI system, FAT32)     partition 3 (btrfs)
//	+---------------------+--------------------------+------------------------------------+-------------------------+
//	| boot.img, 440 bytes | core.img                 | /EFI/BOOT/BOOTX64.EFI              | /@roots/NAME/vmlinuz    |
//	| the table's 72 stay |  diskboot.img, 512 bytes | /griddle/grub.cfg, /griddle/grubenv| /@roots/NAME/initrd.img |
//	+---------------------+--------------------------+------------------------------------+-------------------------+
//	  BIOS reads boot.img --> core.img --> ESP of the same disk: grub.cfg --> kernel and initrd of the root
//	  UEFI reads BOOTX64.EFI ----------------^
//
// A disk image for virtual machines is the same, but for its third partition: that can be ext4 as well, and its top is
// the root itself (Config.Flat).
//
// Neither image holds a path, UUID or site: both look for /griddle/grub.cfg on the ESP that they were started
// beside, so that two installed disks in one machine never mix (only where UEFI's was chained to from the network does
// it take the first disk that has one). The kernel is looked for at every boot, inside the root subvolume: an upgrade
// of the system's own kernel counts without anything being copied or rewritten. GRUB cannot write to btrfs, therefore
// grubenv is on the ESP.
//
// A BIOS cannot start from a disk with sectors of 4096 bytes (GRUB's boot.img, like SeaBIOS, counts in 512);
// InstallBIOS refuses one with ErrSectorSize, and such a disk boots by UEFI alone.
//
// Sources: GRUB 2.06 grub-core/boot/i386/pc/boot.S and diskboot.S, include/grub/i386/pc/boot.h, util/setup.c,
// grub-core/kern/main.c (grub_set_prefix_and_root), grub-core/commands/test.c; UEFI 2.10 section 3.5.1.1.
package bootloader

// The files that BuildGRUB makes, relative to its directory; the same names are used in the boot image.
const (
	BootImage = "i386-pc/boot.img"
	CoreImage = "i386-pc/core.img"
	EFIImage  = "x86_64-efi/BOOTX64.EFI"
)

// Images is where the boot image keeps what BuildGRUB made.
const Images = "/usr/lib/griddle/grub"
