package qemu

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"griddle/cloud/provider"
)

// Names of a server's parts in its QEMU.
const (
	netOut   = "out"   // the card by which it reaches out, and is reached
	netStack = "stack" // the card on the stack's network, where that is no bridge
	volumeID = "vol-"  // and the volume's serial: its device and its block node
)

const (
	imageDisk   = "disk.raw"
	serverDisk  = "disk.qcow2"
	seedFile    = "seed.iso"
	consoleFile = "console.log"
	variables   = "vars.fd" // of UEFI
)

// machine is what QEMU's command line depends on.
type machine struct {
	record   *record
	network  *record
	volumes  []*record
	accel    string // kvm or tcg
	firmware string // directory
}

// arguments is QEMU's command line. Files are named from the server's directory, in which QEMU starts;
// nothing in it is a secret.
func (m machine) arguments() []string {
	s, n := m.record.Server, m.network.Network
	cpu, accel := "max", "tcg,thread=multi"
	if m.accel == "kvm" {
		cpu, accel = "host", "kvm"
	}
	out, stack := cards(m.record, m.network)
	args := []string{
		"-name", "guest=" + m.record.stack() + "/" + m.record.name(), "-machine", "q35", "-accel", accel, "-cpu", cpu,
		"-smp", strconv.Itoa(s.CPUs), "-m", strconv.FormatInt(s.Memory>>20, 10),
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "std",
		// A guest that has taken QEMU over starts no other program.
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d,server=on,wait=off", fdQMP), "-mon", "chardev=qmp,mode=control",
		"-chardev", "file,id=console,path=" + consoleFile + ",append=on", "-serial", "chardev:console",
		"-device", "virtio-rng-pci",
	}
	if s.UEFI {
		args = append(args,
			"-drive", "if=pflash,format=raw,readonly=on,file="+
				strings.ReplaceAll(filepath.Join(m.firmware, "OVMF_CODE_4M.fd"), ",", ",,"),
			"-drive", "if=pflash,format=raw,file="+variables)
	}
	args = append(args,
		"-blockdev", block("root", "qcow2", serverDisk, false), "-device", "virtio-blk-pci,drive=root,bootindex=1",
		"-blockdev", block("seed", "raw", seedFile, true), "-device", "virtio-blk-pci,drive=seed",
		// Disks of this controller come and go without the guest having to agree.
		"-device", "virtio-scsi-pci,id=scsi")
	for _, v := range m.volumes {
		node := volumeID + v.Serial
		args = append(args, "-blockdev", block(node, "raw", volumePath(v), false), "-device",
			fmt.Sprintf("scsi-hd,bus=scsi.0,id=%s,drive=%s,serial=%s", node, node, diskSerial(v)))
	}
	// The way out comes first, so that a system which names its cards by their order has it as eth0.
	way := fmt.Sprintf("tap,id=%s,fd=%d", netOut, fdTap)
	if n.Bridge == "" {
		way = "user,id=" + netOut + ",ipv6=off,net=" + userNetwork(n.Prefix).String() + ",hostname=" + m.record.name()
		for _, f := range s.Forwards {
			way += ",hostfwd=" + hostForward(s.Public, f)
		}
	}
	args = append(args, "-netdev", way, "-device", "virtio-net-pci,netdev="+netOut+",romfile=,mac="+out)
	if n.Bridge == "" {
		args = append(args,
			"-netdev", "socket,id="+netStack+",mcast="+n.Group+",localaddr=127.0.0.1",
			"-device", "virtio-net-pci,netdev="+netStack+",romfile=,mac="+stack)
	}
	return args
}

// block is a block node on a file, for -blockdev and blockdev-add.
func block(node, driver, file string, readonly bool) string {
	b, err := json.Marshal(blockNode(node, driver, file, readonly))
	if err != nil {
		panic(err) // strings and booleans
	}
	return string(b)
}

func blockNode(node, driver, file string, readonly bool) map[string]any {
	return map[string]any{
		"node-name": node, "driver": driver, "read-only": readonly, "discard": "unmap",
		"file": map[string]any{"driver": "file", "filename": file, "discard": "unmap", "read-only": readonly},
	}
}

// volumePath is a volume's file as seen from the directory of a server of its stack.
func volumePath(v *record) string {
	return filepath.Join("..", "..", string(provider.KindVolume), v.name(), imageDisk)
}

// diskSerial is what the guest sees as a volume's serial number, in /dev/disk/by-id: 36 characters fit.
func diskSerial(v *record) string {
	n := v.name()
	return n[:min(len(n), 36)]
}

// cards is the hardware addresses of a server: the same for each server of its name in the network, so that its
// neighbours find one that was built anew at once. 52 makes them local ones.
func cards(server, network *record) (out, stack string) {
	sum := sha256.Sum256([]byte(network.Serial + "/" + server.name()))
	mac := func(n int) string {
		b := sum[5*n:]
		return fmt.Sprintf("52:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
	}
	return mac(0), mac(1)
}

// userNetwork is the network that QEMU makes up for the way out: one that is not the stack's.
func userNetwork(stack netip.Prefix) netip.Prefix {
	for _, s := range []string{"10.0.2.0/24", "192.168.127.0/24"} {
		if p := netip.MustParsePrefix(s); !p.Overlaps(stack) {
			return p
		}
	}
	return netip.MustParsePrefix("172.31.254.0/24")
}
