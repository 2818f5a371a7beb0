package initramfs

import "slices"

// DefaultChoice is the hardware that the boot image supports: almost every wired network card and every storage
// controller with a driver in Debian's kernel, the filesystems that a disk may have, and keyboards. It has no drivers
// for wireless cards, sound or graphics (the kernel's own EFI and VGA consoles are enough). Arrays, volumes and
// encryption need programs of the tools archive, so their modules are there too.
func DefaultChoice() Choice {
	return Choice{Leave: leave(), Take: slices.Concat(disks(), checksums(), []string{
		// Network: all of Ethernet, its PHYs, USB adapters, and what hypervisors offer.
		"kernel/drivers/net/ethernet/", "kernel/drivers/net/phy/", "kernel/drivers/net/mdio/",
		"kernel/drivers/net/usb/", "kernel/drivers/net/hyperv/", "kernel/drivers/net/vmxnet3/",
		"kernel/drivers/net/fjes/", "kernel/drivers/net/virtio_net", "kernel/drivers/net/xen-netfront",
		"kernel/net/packet/",
		// More storage.
		"kernel/drivers/block/loop", "kernel/drivers/cdrom/",
		// Filesystems.
		"kernel/fs/btrfs/", "kernel/fs/fat/vfat", "kernel/fs/ext4/", "kernel/fs/xfs/", "kernel/fs/isofs/",
		"kernel/fs/squashfs/", "kernel/fs/overlayfs/", "kernel/fs/efivarfs/",
		"kernel/fs/nls/nls_cp437", "kernel/fs/nls/nls_iso8859-1", "kernel/fs/nls/nls_ascii",
		"kernel/fs/nls/nls_utf8",
		// Which drives the BIOS offers.
		"kernel/drivers/firmware/edd",
		// Random numbers, consoles and keyboards.
		"kernel/drivers/char/hw_random/virtio-rng", "kernel/drivers/char/virtio_console",
		"kernel/drivers/hid/hid-generic", "kernel/drivers/hid/usbhid/",
		"kernel/drivers/hid/hid-hyperv", "kernel/drivers/input/serio/hyperv-keyboard", "kernel/drivers/input/evdev",
	})}
}

// ToolsChoice is what the tools archive has beside the modules of the boot image: encryption, everything that is put
// together of several disks, filesystems that a person may want to read, networks that are made of others, sensors.
func ToolsChoice() Choice {
	return Choice{Take: []string{
		"kernel/crypto/", "kernel/arch/x86/crypto/", "kernel/drivers/md/",
		"kernel/fs/fuse/fuse", "kernel/fs/exfat/", "kernel/fs/hfsplus/", "kernel/fs/udf/",
		"kernel/drivers/net/bonding/", "kernel/net/8021q/",
		"kernel/drivers/hwmon/coretemp", "kernel/drivers/hwmon/k10temp", "kernel/drivers/hwmon/drivetemp",
	}, Leave: []string{
		"kernel/drivers/md/dm-log-userspace", "kernel/drivers/md/md-cluster", "kernel/crypto/tcrypt",
	}}
}

// RootChoice is what reaches the root of an installed machine: btrfs and every disk on which the boot image installs.
// Kernels differ in what they have as modules, so patterns may match nothing.
func RootChoice() Choice {
	return Choice{Leave: leave(), Lenient: true,
		Take: slices.Concat(disks(), checksums(), []string{"kernel/fs/btrfs/"})}
}

// disks are the controllers of disks, and the buses behind which they are.
func disks() []string {
	return []string{
		"kernel/drivers/ata/", "kernel/drivers/scsi/", "kernel/drivers/message/fusion/",
		"kernel/drivers/nvme/host/nvme", "kernel/drivers/pci/controller/vmd",
		"kernel/drivers/block/virtio_blk", "kernel/drivers/block/xen-blkfront",
		"kernel/drivers/mmc/", "kernel/drivers/ufs/", "kernel/drivers/usb/storage/", "kernel/drivers/nvdimm/",
		"kernel/drivers/virtio/virtio_pci", "kernel/drivers/virtio/virtio_mmio", "kernel/drivers/hv/hv_vmbus",
		"kernel/drivers/usb/host/",
	}
}

// checksums are what filesystems and disks ask for by an algorithm's name, so that no table links to it.
func checksums() []string {
	return []string{
		"kernel/crypto/crc32c_generic", "kernel/crypto/xxhash_generic", "kernel/crypto/blake2b_generic",
		"kernel/crypto/crct10dif_generic", "kernel/crypto/crc64_rocksoft_generic",
		"kernel/arch/x86/crypto/crc32c-intel", "kernel/arch/x86/crypto/sha256-ssse3",
		"kernel/arch/x86/crypto/crct10dif-pclmul",
	}
}

// leave lists what both choices leave out.
func leave() []string {
	return []string{
		// Two NICs whose firmware alone weighs more than all the others' together, one of 2008 whose firmware
		// weighs as much as the multicast in the agent and that was not made again, and switches.
		"kernel/drivers/net/ethernet/qlogic/netxen/",
		"kernel/drivers/net/ethernet/netronome/", "kernel/drivers/net/ethernet/cavium/liquidio/",
		"kernel/drivers/net/ethernet/mellanox/mlxsw/",
		// Myricom's cards for 10 Gbit/s, made until 2013: almost 0.3 MB, which the loader of the tools archive needs.
		"kernel/drivers/net/ethernet/myricom/",
		// Adapters of Brocade, made until 2014: with their firmware they weigh more than all that updates a machine.
		"kernel/drivers/scsi/bfa/", "kernel/drivers/net/ethernet/brocade/",
		// Mobile telephones and modems, which no lease comes over without more software.
		"kernel/drivers/net/usb/qmi_wwan", "kernel/drivers/net/usb/cdc_mbim",
		"kernel/drivers/net/usb/huawei_cdc_ncm", "kernel/drivers/net/usb/sierra_net", "kernel/drivers/net/usb/hso",
		"kernel/drivers/net/usb/cdc-phonet", "kernel/drivers/net/usb/lg-vl600", "kernel/drivers/net/usb/kalmia",
		// Cards of the PCMCIA bus, tapes, media changers, a debugging aid, and storage that needs a network first.
		"kernel/drivers/scsi/pcmcia/", "kernel/drivers/ata/pata_pcmcia", "kernel/drivers/scsi/st",
		"kernel/drivers/scsi/ch", "kernel/drivers/scsi/scsi_debug", "kernel/drivers/scsi/iscsi_tcp",
		"kernel/drivers/scsi/cxgbi/", "kernel/drivers/scsi/be2iscsi/", "kernel/drivers/scsi/bnx2i/",
		"kernel/drivers/scsi/qedi/", "kernel/drivers/scsi/fcoe/", "kernel/drivers/scsi/bnx2fc/",
		"kernel/drivers/scsi/qedf/",
		// What serves disks to others, shares them in a cluster, or caches them and needs a program to set it up.
		"kernel/drivers/scsi/qla2xxx/tcm_qla2xxx",
		"kernel/drivers/net/ethernet/8390/pcnet_cs", "kernel/drivers/net/ethernet/8390/axnet_cs",
		"kernel/drivers/usb/host/sl811_cs",
	}
}

// FirmwarePackages are the Debian packages with the firmware files that these drivers may ask for.
func FirmwarePackages() []string {
	return []string{
		"firmware-bnx2", "firmware-bnx2x", "firmware-linux-free", "firmware-misc-nonfree", "firmware-qlogic",
		"firmware-realtek",
	}
}

// replaced are firmware files that a driver asks for only if another one is missing (drivers/net/ethernet/broadcom/
// bnx2x/bnx2x_main.c: bnx2x_init_firmware).
func replaced() map[string]string {
	out := map[string]string{}
	for _, chip := range []string{"e1", "e1h", "e2"} {
		out["bnx2x/bnx2x-"+chip+"-7.13.15.0.fw"] = "bnx2x/bnx2x-" + chip + "-7.13.21.0.fw"
	}
	return out
}
