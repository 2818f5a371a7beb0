package e2e

import (
	"cmp"
	"os"
	"strconv"
)

// arguments is QEMU's command line. The network is first in the boot order, unless a test says otherwise: that is how
// machines are set up that are to be reinstalled some day.
func (m *Machine) arguments() []string {
	accel := os.Getenv("GRIDDLE_ACCEL") // for a computer whose KVM works
	if accel == "" {
		accel = "tcg,thread=multi"
	}
	args := []string{
		"-name", m.Name, "-machine", "q35", "-accel", accel, "-cpu", "max", "-m", strconv.Itoa(m.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "std", "-S",
		"-qmp", "unix:" + m.room.path(m.Name+".qmp"),
		"-chardev", "socket,id=serial,path=" + m.room.path(m.Name+".serial"), "-serial", "chardev:serial",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
		"-netdev", "tap,id=lan,ifname=" + m.tap + ",script=no,downscript=no",
	}
	if m.Clock != "" {
		args = append(args, "-rtc", "base="+m.Clock)
	}
	if m.UUID != "" {
		args = append(args, "-uuid", m.UUID)
	}
	if m.memory != "" {
		args = append(args, "-incoming", "exec:cat "+m.memory)
	}
	network, disk := "1", "2" // in the boot order
	if m.DiskFirst {
		network, disk = disk, network
	}
	nic := m.NIC + ",netdev=lan,mac=" + m.MAC + ",bootindex=" + network
	if m.Firmware == UEFI {
		nic += ",romfile=" // else OVMF takes iPXE's driver from the card's ROM and not its own
		args = append(args,
			"-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
			"-drive", "if=pflash,format=raw,file="+m.vars)
	}
	args = append(args, "-device", nic)
	if m.TPM {
		args = append(args, "-chardev", "socket,id=tpm,path="+m.room.path(m.Name+".tpm.socket"),
			"-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm")
	}
	if m.Second != "" {
		args = append(args, "-netdev", "tap,id=second,ifname="+m.tap+"b,script=no,downscript=no",
			"-device", "virtio-net-pci,netdev=second,romfile=,mac="+m.Second)
	}
	for i, d := range m.Disks {
		id := "disk" + strconv.Itoa(i)
		device := map[Bus]string{Virtio: "virtio-blk-pci", "": "virtio-blk-pci", NVMe: "nvme", SCSI: "scsi-hd",
			SATA: "ide-hd"}[d.Bus]
		device += ",drive=" + id + ",serial=" + d.Serial
		switch d.Bus {
		case SATA:
			device += ",bus=ide." + strconv.Itoa(i)
		case SCSI:
			args = append(args, "-device", "virtio-scsi-pci,id=scsi"+strconv.Itoa(i))
			device += ",bus=scsi" + strconv.Itoa(i) + ".0"
		}
		if i == 0 {
			device += ",bootindex=" + disk
		}
		// The cache holds across PowerCut, which ends a process and not the host: no need to wait for the host's disk.
		args = append(args, "-drive", "if=none,discard=unmap,cache=unsafe,format="+cmp.Or(d.Format, "raw")+",id="+id+
			",file="+d.File, "-device", device)
	}
	return args
}
