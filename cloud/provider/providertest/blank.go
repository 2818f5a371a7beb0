package providertest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
)

// blankDisk is the bytes of the disk in images that do not boot.
const blankDisk = 1 << 20

// blankTree is a tar with the files that make a directory a system's root.
func blankTree(n int) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	text := fmt.Sprintf("ID=blank\nVERSION_ID=%d\n", n)
	for _, d := range []string{"./", "./etc/", "./sbin/"} {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: 0o755})
	}
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./etc/os-release", Mode: 0o644, Size: int64(len(text))})
	w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// blankQCOW2 is a QCOW2 file of version 2 (docs/interop/qcow2.txt of QEMU) with one cluster of data. Each of
// its clusters, 64 KiB:
//
//	+--------+----------------+----------------+----------+----------+------+
//	| header | refcount table | refcount block | L1 table | L2 table | data |
//	+--------+----------------+----------------+----------+----------+------+
func blankQCOW2(n int) []byte {
	const cluster = 1 << 16
	b := make([]byte, 6*cluster)
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	copy(b, "QFI\xfb")
	put32(b[4:], 2)
	put32(b[20:], 16) // cluster bits
	put64(b[24:], blankDisk)
	put32(b[36:], 1) // entries of L1
	put64(b[40:], 3*cluster)
	put64(b[48:], 1*cluster)
	put32(b[56:], 1) // clusters of the refcount table
	put64(b[1*cluster:], 2*cluster)
	for i := range 6 {
		binary.BigEndian.PutUint16(b[2*cluster+2*i:], 1)
	}
	const copied = 1 << 63
	put64(b[3*cluster:], 4*cluster|copied)
	put64(b[4*cluster:], 5*cluster|copied)
	copy(b[5*cluster:], fmt.Sprintf("griddle %d", n))
	return b
}
