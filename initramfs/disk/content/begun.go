package content

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// The mark of a job that has begun, in the last sector of the disk, where the header of the backup GPT goes later. One
// sector is written whole or not at all, which the table of a GPT is not.
//
//	16 bytes             36 bytes             4 bytes
//	+-------------------+--------------------+--------+
//	| "GRIDDLE BEGUN 1" | ID of the job      | CRC-32 | little endian, of all before it
//	| and a zero byte   | (a UUID, in text)  | (IEEE) |
//	+-------------------+--------------------+--------+
const (
	begunMagic = "GRIDDLE BEGUN 1\x00"
	begunSize  = len(begunMagic) + 36 + 4
)

// BegunSector is the mark of job id, one sector long. It fails if id has not the length of a UUID.
func BegunSector(id string, sectorSize int) ([]byte, error) {
	if len(id) != 36 {
		return nil, fmt.Errorf("marking disk as begun: %q is not the ID of a job", id)
	}
	b := make([]byte, sectorSize)
	n := copy(b, begunMagic+id)
	binary.LittleEndian.PutUint32(b[n:], crc32.ChecksumIEEE(b[:n]))
	return b, nil
}

// readBegun returns the ID of the job whose mark the last sector has, "" where it has none. It looks for either sector
// size, as readGPT does.
func readBegun(r io.ReaderAt, size int64) string {
	b := make([]byte, begunSize)
	for _, s := range []int64{512, 4096} {
		if size < s || !readFull(r, b, (size/s-1)*s) || string(b[:len(begunMagic)]) != begunMagic {
			continue
		}
		n := begunSize - 4
		if id := string(b[len(begunMagic):n]); crc32.ChecksumIEEE(b[:n]) == binary.LittleEndian.Uint32(b[n:]) &&
			Clean(id) == id {
			return id
		}
	}
	return ""
}
