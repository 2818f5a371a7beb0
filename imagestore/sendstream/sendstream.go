// Package sendstream reads and writes btrfs send streams, versions 1 and 2, and version 3's one command: the bytes
// that `btrfs send` makes and `btrfs receive` takes.
//
// Call NewReader and then Next until io.EOF; or NewWriter, Write and End. Both are pure: they use only the reader or
// writer that they get.
//
// A stream is a header and commands; the last command is END. Several streams may follow one another, each with its
// own header. All integers are little endian.
//
//	stream    +---------------------------+--------------+---------+---------+-- ... --+---------+
//	          | "btrfs-stream\0"       13 | version    4 | command | command |         | END     |
//	          +---------------------------+--------------+---------+---------+-- ... --+---------+
//
//	command   +------------+----------+------------+-----------+-----------+-- ... --+
//	          | length   4 | op     2 | crc32c   4 | attribute | attribute |         |   length: attributes only
//	          +------------+----------+------------+-----------+-----------+-- ... --+
//
//	attribute +----------+------------+----------------+
//	          | type   2 | length   2 | value   length |
//	          +----------+------------+----------------+
//
//	DATA from version 2 on: always the last attribute, its length is what remains of the command
//	          +----------+-----------------------------------+
//	          | 19     2 | value   to the end of the command |
//	          +----------+-----------------------------------+
//
// Values are u32, u64, a time (u64 seconds, u32 nanoseconds), a UUID (16 bytes) or bytes (paths without a final NUL).
// The checksum is CRC32C over the whole command with its own field zero, begun with 0 and not inverted at the end,
// so that Go's crc32 has to be given and relieved of an inversion: ^crc32.Update(^0, castagnoli, command).
//
// Limits: a command, header included, is at most MaxCommandV1 bytes in version 1, and MaxCommand in later ones. A
// Reader holds one command in memory, in a buffer that it uses again, and never trusts a length before it is checked
// against those limits. Every error in the bytes is an *Error and says at which byte its command begins. A
// Reader and a Writer are for one goroutine each.
//
// What is not checked here: whether the commands make sense in their order, and where paths lead. CheckPath does the
// lexical part of the latter; package receive does the rest.
//
// Sources: Linux fs/btrfs/send.h and send.c; btrfs-progs kernel-shared/send.h, common/send-stream.c and
// Documentation/dev/dev-send-stream.rst.
package sendstream

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	// MaxCommandV1 is the longest command of a version 1 stream, header included, in bytes
	// (BTRFS_SEND_BUF_SIZE_V1 in fs/btrfs/send.h).
	MaxCommandV1 = 64 << 10

	// MaxCommand is the longest command that is taken from a stream of version 2 or later, header included, in
	// bytes. The format sets no limit; Linux makes at most 144 KiB (16 KiB and a compressed extent of 128 KiB), or
	// 192 KiB where pages are 64 KiB.
	MaxCommand = 4 << 20

	// MaxVersion is the newest version of the format that is understood.
	MaxVersion = 3

	magic         = "btrfs-stream\x00"
	streamHeader  = len(magic) + 4
	commandHeader = 10
)

// UUID names a subvolume: the uuid of the snapshot that was sent, or its received uuid if it was itself received.
type UUID [16]byte

// String returns the usual form, 8-4-4-4-12 lower case hexadecimal digits.
func (u UUID) String() string {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// IsZero reports whether every byte is zero, which names nothing.
func (u UUID) IsZero() bool { return u == UUID{} }

// ParseUUID reads the form of String.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, fmt.Errorf("parsing UUID %q: want 8-4-4-4-12 hexadecimal digits", s)
	}
	if _, err := hex.Decode(u[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return UUID{}, fmt.Errorf("parsing UUID %q: %w", s, err)
	}
	return u, nil
}

// MarshalText writes the form of String.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the form of String.
func (u *UUID) UnmarshalText(b []byte) error {
	v, err := ParseUUID(string(b))
	if err == nil {
		*u = v
	}
	return err
}

// Command is one command of a stream. Op says which of the other fields count: see the constants of Op.
type Command struct {
	Op     Op
	Offset int64 // of the command's first byte in the input of the Reader; the Writer does not look at it
	Length int   // in the stream, header included, in bytes; the Writer does not look at it

	// below the subvolume, "" for its root, parts separated by "/"; for OpSubvol and OpSnapshot its name
	Path      string
	To        string // OpRename: the new path
	Link      string // OpSymlink: the target, any bytes; OpLink: the existing path
	ClonePath string // OpClone: the source, below the subvolume of CloneUUID

	UUID          UUID   // OpSubvol, OpSnapshot: of what is sent
	Ctransid      uint64 // OpSubvol, OpSnapshot: the transaction at which it was sent
	CloneUUID     UUID   // OpSnapshot: of the parent; OpClone: of the source's subvolume
	CloneCtransid uint64 // OpSnapshot, OpClone: that of CloneUUID

	Ino  uint64 // of the sender; zero if the stream has none
	Mode uint64 // OpMknod: type and permissions as stat(2) has them; OpChmod: permissions
	Rdev uint64 // OpMknod: as mknod(2) takes it
	UID  uint64
	GID  uint64

	Atime time.Time // OpUtimes, UTC
	Mtime time.Time
	Ctime time.Time
	Otime time.Time // creation; from version 2 on, IsZero where absent

	XattrName string

	FileOffset  uint64 // in the file at Path, bytes
	Size        uint64 // OpTruncate: the new size; OpFallocate, OpUpdateExtent: a length
	CloneOffset uint64 // in the file at ClonePath, bytes
	CloneLen    uint64 // bytes

	FallocateMode uint32 // of fallocate(2)
	FileAttr      uint64 // BTRFS_INODE_* bits

	// OpEncodedWrite: UnencodedFileLen bytes, which begin at UnencodedOffset in the UnencodedLen bytes that Data
	// gives when it is decompressed, belong at FileOffset.
	UnencodedFileLen uint64
	UnencodedLen     uint64
	UnencodedOffset  uint64
	Compression      Compression
	Encryption       uint32 // no kernel makes one that is not zero

	VerityAlgorithm uint8 // OpEnableVerity
	VerityBlockSize uint32
	VeritySalt      []byte
	VeritySignature []byte

	// Data is the bytes of OpWrite and OpEncodedWrite, and the value of OpSetXattr. A Reader's is valid until its
	// next call of Next.
	Data []byte
}

// Compression is how the data of an encoded write is compressed (enum btrfs_encoded_io_compression in
// include/uapi/linux/btrfs.h).
type Compression uint32

// The LZO kinds differ in the sector size of the sender's file system.
const (
	CompressionNone   Compression = 0
	CompressionZlib   Compression = 1
	CompressionZstd   Compression = 2
	CompressionLZO4K  Compression = 3
	CompressionLZO8K  Compression = 4
	CompressionLZO16K Compression = 5
	CompressionLZO32K Compression = 6
	CompressionLZO64K Compression = 7
)

// What an Error may wrap, besides io.ErrUnexpectedEOF for a stream that is cut off and the errors of the reader below.
var (
	ErrVersion   = errors.New("unknown version of the stream format")
	ErrTooLong   = errors.New("command is longer than the format allows")
	ErrChecksum  = errors.New("checksum does not match")
	ErrMalformed = errors.New("malformed")
)

// Error is what is wrong with a stream, and where. Package receive uses it too, for commands that fail.
type Error struct {
	Offset int64 // of the first byte of the command, or of the stream's header where Op is zero
	Op     Op    // zero if it is not known yet
	Err    error
}

func (e *Error) Error() string {
	if e.Op == 0 {
		return fmt.Sprintf("send stream at byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("send stream, command %v at byte %d: %v", e.Op, e.Offset, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
