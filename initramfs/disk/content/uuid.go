package content

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// uuidOf reads the UUID of a filesystem of a kind that Identify found, as blkid writes it; "" if it has none or is of
// another kind. A FAT, an exFAT and an NTFS have serial numbers in its place: "12AB-34CD", "01D9A2B3C4D5E6F7".
//
// Sources: as signature.go names them; util-linux's libblkid/src/superblocks for how they are written.
func uuidOf(r io.ReaderAt, kind string) string {
	b := make([]byte, 40)
	read := func(at int64, n int) []byte {
		if b = b[:n]; !readFull(r, b, at) {
			clear(b)
		}
		return b
	}
	switch kind {
	case "ext2", "ext3", "ext4", "jbd":
		return dashed(read(0x468, 16))
	case "btrfs":
		return dashed(read(0x10020, 16))
	case "xfs":
		return dashed(read(32, 16))
	case "f2fs":
		return dashed(read(0x46c, 16))
	case "swap":
		return dashed(read(1024+12, 16))
	case "ntfs":
		if n := binary.LittleEndian.Uint64(read(0x48, 8)); n != 0 {
			return fmt.Sprintf("%016X", n)
		}
	case "exfat":
		return serial(read(0x64, 4))
	case "vfat":
		if string(read(0x52, 5)) == "FAT32" {
			return serial(read(0x43, 4))
		}
		return serial(read(0x27, 4))
	case "crypto_LUKS": // as text
		if id := Text(read(168, 40)); len(id) <= maxUUID {
			return id
		}
	}
	return ""
}

// Known is what is recognised in a device with size bytes, and its UUID; "" if nothing is, and if it has none. It fails
// if the device does not answer where it looks: what cannot be read is not nothing.
func Known(r io.ReaderAt, size int64) (kind, uuid string, err error) {
	a := &answering{from: r}
	kind = Identify(a, size).Type
	uuid = uuidOf(a, kind)
	if a.err != nil {
		return "", "", fmt.Errorf("reading what is there: %w", a.err)
	}
	return kind, uuid, nil
}

// answering keeps the first error of a device other than that it ends.
type answering struct {
	from io.ReaderAt
	err  error
}

func (a *answering) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 { // counted from the end of a device that is smaller
		return 0, io.EOF
	}
	n, err := a.from.ReadAt(b, at)
	if a.err == nil && err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return n, err
}

// dashed writes 16 bytes as a UUID; "" if all are zero.
func dashed(b []byte) string {
	if [16]byte(b) == [16]byte{} {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// serial writes the serial number of a FAT; "" for zero.
func serial(b []byte) string {
	if [4]byte(b) == [4]byte{} {
		return ""
	}
	return fmt.Sprintf("%02X%02X-%02X%02X", b[3], b[2], b[1], b[0])
}
