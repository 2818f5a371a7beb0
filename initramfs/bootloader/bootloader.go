// Package bootloader makes an installed disk bootable on BIOS and on UEFI, whichever firmware the machine has now.
//
// Call BuildGRUB at build time: it makes three files from Debian's GRUB modules. On the machine, InstallBIOS writes two
// of them to the disk itself, and InstallESP writes the third one to the EFI system partition, together with grub.cfg
// (see Config) and grubenv (package bootenv).
//
//	        LBA 0            partition 1 (BIOS boot)       partition 2 (EFI system, FAT32)      partition 3 (btrfs)
//	+---------------------+-------------------------+--------------------------------------+-------------------------+
//	| boot.img, 440 bytes | core.img                | /EFI/BOOT/BOOTX64.EFI                | /@roots/NAME/vmlinuz    |
//	| the table's 72 stay | diskboot.img, 512 bytes | /griddle/grub.cfg, grubenv, grubenv2 | /@roots/NAME/initrd.img |
//	+---------------------+-------------------------+--------------------------------------+-------------------------+
//	  BIOS reads boot.img --> core.img --> ESP of the same disk: grub.cfg --> kernel and initrd of the root
//	  UEFI reads BOOTX64.EFI ----------------^
//
// Partition 1 has two halves: an install writes core.img into the one that boot.img does not name.
//
// A disk image for virtual machines is the same except for its third partition: that can also be ext4, and its top is
// the root itself (Config.Flat).
//
// The images have no path, UUID or site: both look for /griddle/grub.cfg on the ESP of their own disk, so that two
// installed disks in one machine are never mixed. (Only a UEFI image that was chained to from the network takes the
// first disk with such a file.) core.img takes the first FAT partition of its drive that has the file, number 2 before
// all others, in a GPT or an MBR.
//
// # Beside other systems
//
// An EFI system partition that others use too is shared: Config.ESPID says so. Then the UEFI image is
// /EFI/griddle/grubx64.efi, for which firmware needs a boot entry, and no file of others changes. grub.cfg and grubenv
// are where they always are. With Config.Others the menu has the other systems of the machine.
//
// On a BIOS core.img goes where no other loader has anything (package gap): call CheckBIOS before anything is written,
// then ReserveBIOS in a BIOS boot partition that others use, KeepRecord for the menu, and InstallBIOS. Package former
// keeps all that an install changes, before, and RemoveBIOS is a part of bringing it back.
//
// # The kernel
//
// GRUB looks for the kernel at every boot, inside the root subvolume: after an upgrade of the system's own kernel
// nothing has to be copied or rewritten. GRUB cannot write to btrfs, so grubenv is on the ESP. An encrypted pool it
// cannot read: what it needs of each root is copied into a partition of its own then (Boot).
//
// # Which root starts
//
// grub.cfg names no root. GRUB takes the first copy of grubenv that is whole and, in this order, starts
//
//  1. the candidate, if it has tries left. GRUB counts the try in both copies before; if it cannot, or if the
//     candidate has no kernel, it does not start it. The kernel has the argument griddle.try then.
//  2. the good root
//  3. the root that proved itself last: the one with the newest marker, the file /.griddle-good; then all others that
//     have one
//  4. the root of Config.Root
//
// A kernel that cannot be loaded leads to the next root of this list in the same start. A kernel that panics restarts
// the machine after 10 seconds. The menu also has all kernels of the first of these roots, and the good and the marked
// roots as earlier systems; what a person starts there uses up no try. The variables saved_entry and next_entry in
// grubenv choose an entry as a person does: griddle, kernels or earlier, and one in it as in "earlier>NAME".
//
// A root with the file /.griddle-base is a base, which no one works on: what starts of the good one are fresh roots,
// snapshots that were made of it earlier. grubenv names the next one and a spare one. GRUB takes one out of both copies
// before it starts it, so that none starts twice. If there is none, or a copy cannot be written, the base starts, and
// does nothing but make fresh roots and restart (ResetTarget); so does each other base of the list above. A fresh root
// of another base can be the candidate.
//
// A root starts with the kernel arguments that it has of its own (package arguments), else with those of grub.cfg.
//
// A disk of an earlier version has a grub.cfg that names the root. ReadConfig reads it (Config.Old), and Render writes
// a new one. The parts of grub.cfg are in the folder script; package grubtest runs it.
//
// A BIOS cannot start from a disk with sectors of 4096 bytes (GRUB's boot.img, like SeaBIOS, counts in 512 bytes).
// InstallBIOS refuses it with ErrSectorSize; such a disk boots only on UEFI.
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

// Images is where the boot image has the files of BuildGRUB.
const Images = "/usr/lib/griddle/grub"
