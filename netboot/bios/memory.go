package bios

import (
	"encoding/binary"
	"fmt"
)

// HasMemory returns the program that checks whether the BIOS reports at least mib MiB of memory, 17 to 4000. It returns
// 0 if the BIOS does, or does not report its memory, and 1 if it reports less. The BIOS reports slightly less than the
// installed memory, because it and a graphics card use some.
func HasMemory(mib int) ([]byte, error) {
	if mib < 17 || mib > 4000 {
		return nil, fmt.Errorf("making the program that checks the memory: %d MiB is not from 17 to 4000", mib)
	}
	return binary.LittleEndian.AppendUint16([]byte(memory), uint16(mib-16)*16), nil
}

// memory is memory.asm without its last 2 bytes, as GNU as and ld make it by the lines at its top.
const memory = "" +
	"\x66\x60\x1e\x31\xc0\x8e\xd8\x31\xdb\x31\xc9\x31\xd2\xb8\x01\xe8\xcd\x15\x72\x0c\x85\xd2\x74\x02" +
	"\x89\xd3\x3b\x1e\x2d\x7c\x72\x06\x1f\x66\x61\x31\xc0\xcb\x1f\x66\x61\xb8\x01\x00\xcb"
