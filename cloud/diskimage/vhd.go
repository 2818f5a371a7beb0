package diskimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The footer of a VHD is its last 512 bytes, big endian ("Virtual Hard Disk Image Format Specification", 2006, "Hard
// Disk Footer Format"):
//
//	0 "conectix"   24 time stamp, 4   28 creator, 4   48 current size, 8   60 type, 4 (2: fixed)
//	64 checksum, 4   68 unique ID, 16
const (
	footerSize = 512
	footerTime = 24
	footerSum  = 64
	footerID   = 68
)

// settleFooter replaces what qemu-img draws and takes from the clock in a VHD of fixed size, so that the same
// disk gives the same file.
func settleFooter(name string, s spec) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	var b [footerSize]byte
	at := st.Size() - footerSize
	if _, err := f.ReadAt(b[:], at); err != nil {
		return fmt.Errorf("reading the footer of the vhd: %w", err)
	}
	if string(b[:8]) != "conectix" {
		return errors.New("reading the footer of the vhd: it is missing")
	}
	clear(b[footerTime : footerTime+4])
	id := s.sum("vhd")
	copy(b[footerID:], id[:16])
	binary.BigEndian.PutUint32(b[footerSum:], footerChecksum(b))
	if _, err := f.WriteAt(b[:], at); err != nil {
		return fmt.Errorf("writing the footer of the vhd: %w", err)
	}
	return f.Close()
}

// footerChecksum is the complement of the sum of all bytes but the checksum's own.
func footerChecksum(b [footerSize]byte) uint32 {
	clear(b[footerSum : footerSum+4])
	var sum uint32
	for _, c := range b {
		sum += uint32(c)
	}
	return ^sum
}
