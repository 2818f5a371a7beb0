package sendstream

import "fmt"

// Op is what a command does (enum btrfs_send_cmd in fs/btrfs/send.h). Each constant names the fields of Command that
// it uses.
type Op uint16

const (
	OpSubvol   Op = 1 // a new subvolume: Path, UUID, Ctransid
	OpSnapshot Op = 2 // a snapshot of a parent: Path, UUID, Ctransid, CloneUUID, CloneCtransid
	OpMkfile   Op = 3 // an empty file: Path, Ino
	OpMkdir    Op = 4 // Path, Ino
	OpMknod    Op = 5 // a device: Path, Ino, Rdev, Mode
	OpMkfifo   Op = 6 // Path, Ino, and Rdev and Mode that say nothing
	OpMksock   Op = 7 // as OpMkfifo
	OpSymlink  Op = 8 // Path, Ino, Link

	OpRename Op = 9  // replaces what is at To: Path, To
	OpLink   Op = 10 // a hard link at Path to the file at Link
	OpUnlink Op = 11 // Path
	OpRmdir  Op = 12 // Path

	OpSetXattr    Op = 13 // Path, XattrName, Data
	OpRemoveXattr Op = 14 // Path, XattrName

	OpWrite Op = 15 // Path, FileOffset, Data
	OpClone Op = 16 // Path, FileOffset, CloneLen, CloneUUID, CloneCtransid, ClonePath, CloneOffset

	OpTruncate Op = 17 // Path, Size
	OpChmod    Op = 18 // Path, Mode
	OpChown    Op = 19 // Path, UID, GID
	OpUtimes   Op = 20 // Path, Atime, Mtime, Ctime, and Otime from version 2 on

	OpEnd          Op = 21 // the stream is whole
	OpUpdateExtent Op = 22 // in place of a write when sent without data: Path, FileOffset, Size

	OpFallocate    Op = 23 // version 2: Path, FallocateMode, FileOffset, Size
	OpFileAttr     Op = 24 // version 2: Path, FileAttr
	OpEncodedWrite Op = 25 // version 2: Path, FileOffset, Unencoded*, Compression, Encryption, Data

	OpEnableVerity Op = 26 // version 3: Path, Verity*
)

// String returns the name that `btrfs receive --dump` uses, or the number if the Op is not known.
func (o Op) String() string {
	if l := layoutOf(o); l.name != "" {
		return l.name
	}
	return fmt.Sprintf("number %d", uint16(o))
}

// attr is the type of an attribute (the anonymous enum of BTRFS_SEND_A_* in fs/btrfs/send.h).
type attr uint16

const (
	aUUID             attr = 1
	aCtransid         attr = 2
	aIno              attr = 3
	aSize             attr = 4
	aMode             attr = 5
	aUID              attr = 6
	aGID              attr = 7
	aRdev             attr = 8
	aCtime            attr = 9
	aMtime            attr = 10
	aAtime            attr = 11
	aOtime            attr = 12
	aXattrName        attr = 13
	aXattrData        attr = 14
	aPath             attr = 15
	aPathTo           attr = 16
	aPathLink         attr = 17
	aFileOffset       attr = 18
	aData             attr = 19
	aCloneUUID        attr = 20
	aCloneCtransid    attr = 21
	aClonePath        attr = 22
	aCloneOffset      attr = 23
	aCloneLen         attr = 24
	aFallocateMode    attr = 25
	aFileAttr         attr = 26
	aUnencodedFileLen attr = 27
	aUnencodedLen     attr = 28
	aUnencodedOffset  attr = 29
	aCompression      attr = 30
	aEncryption       attr = 31
	aVerityAlgorithm  attr = 32
	aVerityBlockSize  attr = 33
	aVeritySalt       attr = 34
	aVeritySignature  attr = 35
)

// String returns the name as the kernel's header has it, in lower case.
func (a attr) String() string {
	names := [...]string{"", "uuid", "ctransid", "ino", "size", "mode", "uid", "gid", "rdev", "ctime", "mtime", "atime",
		"otime", "xattr_name", "xattr_data", "path", "path_to", "path_link", "file_offset", "data", "clone_uuid",
		"clone_ctransid", "clone_path", "clone_offset", "clone_len", "fallocate_mode", "fileattr",
		"unencoded_file_len", "unencoded_len", "unencoded_offset", "compression", "encryption", "verity_algorithm",
		"verity_block_size", "verity_salt_data", "verity_sig_data"}
	if a == 0 || int(a) >= len(names) {
		return fmt.Sprintf("number %d", uint16(a))
	}
	return names[a]
}

// bit is a's place in a set of attributes.
func (a attr) bit() uint64 { return 1 << a }

// optional holds the attributes that a command may lack. The kernel's sender leaves out only Otime, but a reader that
// follows btrfs-progs does without the others too.
const optional = 1<<aIno | 1<<aOtime | 1<<aCompression | 1<<aEncryption | 1<<aVeritySalt | 1<<aVeritySignature

// layout is what a command is made of.
type layout struct {
	name  string
	since int     // the version of the format that has it first
	attrs [8]attr // in the order in which the kernel's sender writes them; zero ends the list
}

// layoutOf gives the layout of a command; its name is "" if op is unknown. A function rather than a table, so that
// nothing can change it.
func layoutOf(op Op) layout {
	switch op {
	case OpSubvol:
		return layout{"subvol", 1, [8]attr{aPath, aUUID, aCtransid}}
	case OpSnapshot:
		return layout{"snapshot", 1, [8]attr{aPath, aUUID, aCtransid, aCloneUUID, aCloneCtransid}}
	case OpMkfile:
		return layout{"mkfile", 1, [8]attr{aPath, aIno}}
	case OpMkdir:
		return layout{"mkdir", 1, [8]attr{aPath, aIno}}
	case OpMknod:
		return layout{"mknod", 1, [8]attr{aPath, aIno, aRdev, aMode}}
	case OpMkfifo:
		return layout{"mkfifo", 1, [8]attr{aPath, aIno, aRdev, aMode}}
	case OpMksock:
		return layout{"mksock", 1, [8]attr{aPath, aIno, aRdev, aMode}}
	case OpSymlink:
		return layout{"symlink", 1, [8]attr{aPath, aIno, aPathLink}}
	case OpRename:
		return layout{"rename", 1, [8]attr{aPath, aPathTo}}
	case OpLink:
		return layout{"link", 1, [8]attr{aPath, aPathLink}}
	case OpUnlink:
		return layout{"unlink", 1, [8]attr{aPath}}
	case OpRmdir:
		return layout{"rmdir", 1, [8]attr{aPath}}
	case OpSetXattr:
		return layout{"set_xattr", 1, [8]attr{aPath, aXattrName, aXattrData}}
	case OpRemoveXattr:
		return layout{"remove_xattr", 1, [8]attr{aPath, aXattrName}}
	case OpWrite:
		return layout{"write", 1, [8]attr{aPath, aFileOffset, aData}}
	case OpClone:
		return layout{"clone", 1,
			[8]attr{aFileOffset, aCloneLen, aPath, aCloneUUID, aCloneCtransid, aClonePath, aCloneOffset}}
	case OpTruncate:
		return layout{"truncate", 1, [8]attr{aPath, aSize}}
	case OpChmod:
		return layout{"chmod", 1, [8]attr{aPath, aMode}}
	case OpChown:
		return layout{"chown", 1, [8]attr{aPath, aUID, aGID}}
	case OpUtimes:
		return layout{"utimes", 1, [8]attr{aPath, aAtime, aMtime, aCtime, aOtime}}
	case OpEnd:
		return layout{name: "end", since: 1}
	case OpUpdateExtent:
		return layout{"update_extent", 1, [8]attr{aPath, aFileOffset, aSize}}
	case OpFallocate:
		return layout{"fallocate", 2, [8]attr{aPath, aFallocateMode, aFileOffset, aSize}}
	case OpFileAttr:
		return layout{"fileattr", 2, [8]attr{aPath, aFileAttr}}
	case OpEncodedWrite:
		return layout{"encoded_write", 2,
			[8]attr{aPath, aFileOffset, aUnencodedFileLen, aUnencodedLen, aUnencodedOffset,
				aCompression, aEncryption, aData}}
	case OpEnableVerity:
		// Number 26 was TOTAL_DATA_SIZE in patches to version 2 that were never merged: `since` keeps them apart.
		return layout{"enable_verity", 3,
			[8]attr{aPath, aVerityAlgorithm, aVerityBlockSize, aVeritySalt, aVeritySignature}}
	}
	return layout{}
}
