package smart

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ask asks the disk whose device file is path, by the way that its bus has: "nvme" or "sata". A disk on another bus is
// not asked. It may take as long as the kernel waits for a disk, 5 to 30 seconds.
func Ask(path, bus string) Health {
	if bus != "nvme" && bus != "sata" {
		return Health{}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return unknown("it cannot be opened")
	}
	defer f.Close()
	if bus == "nvme" {
		return askNVMe(f)
	}
	return askATA(f)
}

// nvmeCommand is struct nvme_passthru_cmd of the kernel's nvme_ioctl.h on 64-bit machines.
type nvmeCommand struct {
	opcode, flags  uint8
	_              uint16
	namespace      uint32
	_              [2]uint32
	metadata       unsafe.Pointer
	data           unsafe.Pointer
	metadataLength uint32
	dataLength     uint32
	words          [6]uint32 // command dwords 10 to 15
	timeout        uint32    // milliseconds
	result         uint32
}

func askNVMe(f *os.File) Health {
	const (
		adminCommand = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD
		getLogPage   = 0x02
		healthLog    = 0x02
		all          = 0xffffffff // namespaces: the log is the controller's
	)
	b := make([]byte, logSize)
	c := nvmeCommand{opcode: getLogPage, namespace: all, data: unsafe.Pointer(&b[0]), dataLength: logSize,
		timeout: 5000}
	c.words[0] = (logSize/4-1)<<16 | healthLog
	// A positive result is the disk's own refusal.
	status, err := ioctl(f, adminCommand, unsafe.Pointer(&c))
	if err != nil || status != 0 {
		return unknown("it did not give its health log")
	}
	return FromNVMe(b)
}

func askATA(f *os.File) Health {
	const smart, readData, readThresholds = 0xb0, 0xd0, 0xd1
	read := func(sector, feature byte) []byte {
		const driveCommand = 0x031f // HDIO_DRIVE_CMD: command, sector number, feature, sectors; then the data
		b := append([]byte{smart, sector, feature, 1}, make([]byte, 512)...)
		if _, err := ioctl(f, driveCommand, unsafe.Pointer(&b[0])); err != nil {
			return nil
		}
		return b[4:]
	}
	data := read(0, readData)
	if data == nil {
		return unknown("it did not give its SMART data")
	}
	return FromATA(data, read(1, readThresholds), askStatus(f))
}

// askStatus asks for RETURN STATUS. The answer is in the registers of the address.
func askStatus(f *os.File) Status {
	const smart, returnStatus, driveTask = 0xb0, 0xda, 0x031e // HDIO_DRIVE_TASK: command, feature, 5 registers
	b := [7]byte{smart, returnStatus, 0, 0, 0x4f, 0xc2, 0}
	if _, err := ioctl(f, driveTask, unsafe.Pointer(&b)); err != nil {
		return NoStatus
	}
	switch [2]byte{b[4], b[5]} {
	case [2]byte{0x4f, 0xc2}:
		return WellStatus
	case [2]byte{0xf4, 0x2c}:
		return FailsStatus
	}
	return NoStatus
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) (uintptr, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}
