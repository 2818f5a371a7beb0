package ata

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// Of makes the Drive of an open device file of an ATA disk.
func Of(f *os.File) Drive {
	return Drive{Do: func(c Command) (Answer, error) { return pass(f, c) }}
}

func pass(f *os.File, c Command) (Answer, error) {
	const request, none, toDisk, fromDisk = 0x2285, -1, -2, -3
	block, sense := c.Block(), make([]byte, 64)
	h := sgIO{interfaceID: 'S', direction: none, cmdLen: uint8(len(block)), maxSense: uint8(len(sense)),
		cmd: unsafe.Pointer(&block), sense: unsafe.Pointer(&sense[0]), timeout: uint32(c.Timeout.Milliseconds())}
	switch {
	case len(c.In) > 0:
		h.direction, h.data, h.length = fromDisk, unsafe.Pointer(&c.In[0]), uint32(len(c.In))
	case len(c.Out) > 0:
		h.direction, h.data, h.length = toDisk, unsafe.Pointer(&c.Out[0]), uint32(len(c.Out))
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&h)))
	runtime.KeepAlive(&block)
	runtime.KeepAlive(c)
	if errno != 0 {
		return Answer{}, errno
	}
	return conclude(h.status, h.hostStatus, h.driverStatus, sense[:min(int(h.senseWritten), len(sense))], c.Answers)
}

// conclude is what came of a command. With CK_COND a command that succeeded ends with a check condition too, and its
// registers are in the sense data (SAT-4 section 12.2.2.2).
func conclude(status uint8, host, driver uint16, sense []byte, answers bool) (Answer, error) {
	const checkCondition, driverSense = 2, 8
	a, ok := ReadAnswer(sense)
	switch {
	case host != 0:
		return a, fmt.Errorf("the command did not reach the disk, or took too long: host status 0x%x", host)
	case ok && a.Status&(statusError|statusFault) != 0:
		return a, fmt.Errorf("the disk refused: status 0x%02x, error 0x%02x", a.Status, a.Error)
	case status == checkCondition && !(ok && answers):
		return a, fmt.Errorf("the disk refused: sense % x", sense)
	case status != 0 && status != checkCondition, driver&0xf != 0 && driver&0xf != driverSense:
		return a, fmt.Errorf("the disk refused: SCSI status 0x%02x, driver status 0x%x", status, driver)
	case answers && !ok:
		return a, fmt.Errorf("the disk did not answer with its registers")
	}
	return a, nil
}
