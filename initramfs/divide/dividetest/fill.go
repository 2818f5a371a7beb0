package dividetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
)

// Kind is what is in a partition.
type Kind string

// The kinds. Begun is a pool whose install did not finish.
const (
	ESP       Kind = "esp"
	BIOS      Kind = "bios"
	Reserved  Kind = "reserved"
	NTFS      Kind = "ntfs"
	Recovery  Kind = "recovery"
	BitLocker Kind = "bitlocker"
	ExFAT     Kind = "exfat"
	Ext2      Kind = "ext2"
	Ext3      Kind = "ext3"
	Ext4      Kind = "ext4"
	Btrfs     Kind = "btrfs"
	XFS       Kind = "xfs"
	Swap      Kind = "swap"
	LVM       Kind = "lvm"
	MD        Kind = "md"
	LUKS      Kind = "luks"
	Pool      Kind = "pool"
	Begun     Kind = "begun"
	Unknown   Kind = "unknown"
	Empty     Kind = "empty"

	extendedKind Kind = "extended"
)

// sort says which partitions can have a kind.
type sort struct {
	kind        Kind
	gpt, mbr    string // types
	least, most int64  // bytes; most 0: any size
}

const (
	linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	basic = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
)

// kinds are those that a partition of any place can have. Large ones, whose programs write much, have a limit.
var kinds = []sort{
	{NTFS, basic, "7", 16 * mib, tib},
	{NTFS, basic, "7", 16 * mib, tib},
	{Recovery, "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC", "27", 16 * mib, 2 * gib},
	{BitLocker, basic, "7", mib, 0},
	{ExFAT, basic, "7", 16 * mib, tib},
	{Ext2, linux, "83", 8 * mib, 64 * gib},
	{Ext3, linux, "83", 16 * mib, 64 * gib},
	{Ext4, linux, "83", 16 * mib, 64 * gib},
	{Ext4, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "83", 16 * mib, 64 * gib},
	{Btrfs, linux, "83", 130 * mib, 0},
	{Btrfs, linux, "83", 130 * mib, 0},
	{XFS, linux, "83", 300 * mib, tib},
	{Swap, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", "82", mib, 64 * gib},
	{LVM, "E6D6D379-F507-44C2-A23C-238F2A3DF928", "8e", 8 * mib, 0},
	{MD, "A19D880F-05FC-4D3B-A006-743F0F84911E", "fd", mib, 0},
	{LUKS, linux, "83", 20 * mib, 0},
	{Pool, linux, "83", 130 * mib, 0},
	{Begun, linux, "83", 130 * mib, 0},
	{Unknown, basic, "7", mib, 0},
	{Unknown, linux, "a5", mib, 0},
	{Empty, linux, "83", mib, 0},
}

// of is the sort of a kind.
func (k Kind) of() sort {
	switch k {
	case ESP:
		return sort{gpt: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", mbr: "ef"}
	case BIOS:
		return sort{gpt: "21686148-6449-6E6F-744E-656564454649"}
	case Reserved:
		return sort{gpt: "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"}
	case extendedKind:
		return sort{mbr: "f"}
	}
	return kinds[slices.IndexFunc(kinds, func(s sort) bool { return s.kind == k })]
}

// fill puts into a partition what it has, by its device file.
func (p Part) fill(t testing.TB, r *rand.Rand, d *Disk, node string) {
	t.Helper()
	run := func(name string, args ...string) {
		t.Helper()
		disktest.Tool(t, name, append(args, node)...)
	}
	label := pick(r, "Windows", "data", "old", "a b", "Ü")
	switch p.Kind {
	case ESP:
		run("mkfs.vfat", "-n", "EFI")
		noise(t, r, node, p.Size/2, min(mib, p.Size/4)) // where the filesystem has nothing
	case NTFS, Recovery:
		run("mkntfs", "-q", "-Q", "-F", "-s", fmt.Sprint(d.Sector), "-p", fmt.Sprint(p.Start/int64(d.Sector)%(1<<32)),
			"-L", label)
		if p.Kind == NTFS && r.IntN(2) == 0 {
			dir := t.TempDir()
			disktest.Tool(t, "ntfs-3g", "-o", "rw", node, dir)
			disktest.Tool(t, "cp", "-r", files(t, r), dir)
			disktest.Tool(t, "umount", dir)
		}
	case ExFAT:
		run("mkfs.exfat", "-L", "stick")
	case Ext2, Ext3, Ext4:
		run("mkfs."+string(p.Kind), "-q", "-F", "-L", label, "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d",
			files(t, r))
	case Btrfs:
		run("mkfs.btrfs", "-q", "-f", "-L", label, "--rootdir", files(t, r))
	case XFS:
		run("mkfs.xfs", "-q", "-f", "-L", label)
	case Swap:
		run("mkswap", "-L", label)
	case LVM:
		run("pvcreate", "-qq", "-y", "--config", `devices{filter=["a|`+node+`|","r|.*|"] use_devicesfile=0} `+
			`global{locking_type=0}`)
	case MD:
		overwrite(t, node, 4096, superblock(r))
		noise(t, r, node, mib/2, 64<<10)
	case LUKS:
		run("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
			"--key-file", "/proc/sys/kernel/osrelease")
	case Pool, Begun:
		run("mkfs.btrfs", "-q", "-f", "-L", "griddle")
		mark, err := content.Mark{Job: oldJob(r), Finished: p.Kind == Pool}.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		copy(b, mark)
		overwrite(t, node, content.MarkAt, b)
	case BitLocker:
		b := make([]byte, 4096)
		copy(b, "\xeb\x58\x90-FVE-FS-")
		overwrite(t, node, 0, b)
		noise(t, r, node, p.Size/2, 64<<10)
	case Unknown, BIOS, Reserved:
		noise(t, r, node, roundUp(p.Size/3, 4096), min(p.Size/3, mib)&^4095)
	}
}

// files is a folder with some files.
func files(t testing.TB, r *rand.Rand) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 2 + r.IntN(12) {
		path := filepath.Join(dir, fmt.Sprint("folder", i%3))
		b := make([]byte, between(r, 1, 400<<10))
		fillRandom(r, b)
		err := os.MkdirAll(path, 0o755)
		if err = errors.Join(err, os.WriteFile(filepath.Join(path, fmt.Sprint("file", i)), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// superblock is one of md's version 1.2, as it is 4 KiB from the start of a member (the kernel's
// include/uapi/linux/raid/md_p.h).
func superblock(r *rand.Rand) []byte {
	le := binary.LittleEndian
	b := make([]byte, 4096)
	le.PutUint32(b, 0xa92b4efc)
	le.PutUint32(b[4:], 1)
	fillRandom(r, b[16:32])
	copy(b[32:], "srv:0")
	le.PutUint32(b[72:], 1)     // level
	le.PutUint32(b[92:], 2)     // disks
	le.PutUint64(b[128:], 2048) // where the data begins, in sectors
	le.PutUint64(b[144:], 8)    // where this is
	le.PutUint32(b[220:], 128)  // roles
	var sum uint64
	for i := 0; i < 256+2*128; i += 4 {
		sum += uint64(le.Uint32(b[i:]))
	}
	le.PutUint32(b[216:], uint32(sum)+uint32(sum>>32))
	return b
}

func fillRandom(r *rand.Rand, b []byte) {
	var seed [32]byte
	for i := range 4 {
		binary.LittleEndian.PutUint64(seed[8*i:], r.Uint64())
	}
	_, _ = rand.NewChaCha8(seed).Read(b)
}

// noise writes random bytes.
func noise(t testing.TB, r *rand.Rand, path string, at, n int64) {
	t.Helper()
	b := make([]byte, n)
	fillRandom(r, b)
	overwrite(t, path, at, b)
}

func overwrite(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(b, at)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
