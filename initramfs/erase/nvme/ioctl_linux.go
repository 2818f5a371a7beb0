package nvme

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// passthru is struct nvme_passthru_cmd of the kernel's nvme_ioctl.h on 64-bit machines.
type passthru struct {
	opcode, flags  uint8
	_              uint16
	namespace      uint32
	_              [2]uint32
	metadata       unsafe.Pointer
	data           unsafe.Pointer
	metadataLength uint32
	dataLength     uint32
	words          [6]uint32
	timeout        uint32 // milliseconds
	result         uint32
}

// Of makes the Drive of an open device file of a namespace.
func Of(f *os.File) (Drive, error) {
	const namespaceID = 0x4e40 // NVME_IOCTL_ID
	n, err := ioctl(f, namespaceID, nil)
	if err != nil {
		return Drive{}, fmt.Errorf("asking %s for its namespace: %w", f.Name(), err)
	}
	return Drive{Namespace: uint32(n), Do: func(c Command) (uint16, error) { return admin(f, c) }}, nil
}

func admin(f *os.File, c Command) (uint16, error) {
	const adminCommand = 0xc0484e41 // NVME_IOCTL_ADMIN_CMD
	p := passthru{opcode: c.Opcode, namespace: c.Namespace, words: c.Words, timeout: uint32(c.Timeout.Milliseconds())}
	if len(c.Data) > 0 {
		p.data, p.dataLength = unsafe.Pointer(&c.Data[0]), uint32(len(c.Data))
	}
	status, err := ioctl(f, adminCommand, unsafe.Pointer(&p)) // a positive result is the disk's own refusal
	runtime.KeepAlive(c.Data)
	return uint16(status), err
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) (uintptr, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}
