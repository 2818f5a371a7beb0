package disk

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"griddle/initramfs/disk/content"
)

// Open opens a disk for reading. The Device also has the method Identify.
func Open(path string) (Device, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	uncache(f)
	return file{f}, nil
}

type file struct{ *os.File }

// Identify asks an ATA disk for its model, serial and firmware revision (ACS-3 section 7.12.7: serial in words 10 to
// 19, firmware in words 23 to 26, model in words 27 to 46; the kernel has corrected the byte order), then any SCSI disk
// for its VPD page 80h. It returns empty strings if the disk does not answer.
func (f file) Identify() (model, serial, firmware string) {
	var id [512]byte
	if ioctl(f.Fd(), unix.HDIO_GET_IDENTITY, unsafe.Pointer(&id)) == nil {
		return content.Text(id[54:94]), content.Text(id[20:40]), content.Text(id[46:54])
	}
	var page [252]byte
	if inquiry(f.Fd(), 0x80, page[:]) == nil {
		serial = vpdSerial(page[:])
	}
	return "", serial, ""
}

// sgIO is struct sg_io_hdr of the kernel's include/scsi/sg.h on 64-bit machines.
type sgIO struct {
	interfaceID    int32
	direction      int32
	cmdLen         uint8
	maxSense       uint8
	iovecs         uint16
	length         uint32
	data           unsafe.Pointer
	cmd            unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32 // milliseconds
	flags          uint32
	packID         int32
	_              int32
	usr            uintptr
	status         uint8
	maskedStatus   uint8
	msgStatus      uint8
	senseWritten   uint8
	hostStatus     uint16
	driverStatus   uint16
	resid          int32
	duration, info uint32
}

// inquiry asks for a vital product data page (SPC-4 section 6.6).
func inquiry(fd uintptr, page byte, b []byte) error {
	const sgIOCtl, fromDevice = 0x2285, -3
	cmd := [6]byte{0x12, 1, page}
	binary.BigEndian.PutUint16(cmd[3:], uint16(len(b)))
	var sense [32]byte
	h := sgIO{
		interfaceID: 'S', direction: fromDevice, cmdLen: uint8(len(cmd)), maxSense: uint8(len(sense)),
		length: uint32(len(b)), data: unsafe.Pointer(&b[0]), cmd: unsafe.Pointer(&cmd),
		sense: unsafe.Pointer(&sense), timeout: 5000,
	}
	if err := ioctl(fd, sgIOCtl, unsafe.Pointer(&h)); err != nil {
		return err
	}
	if h.status != 0 || h.hostStatus != 0 || h.driverStatus != 0 {
		return unix.EIO
	}
	return nil
}

func ioctl(fd uintptr, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
