// Package diskimage makes a bootable disk of an image of the catalog, for BIOS and UEFI alike, without loop devices,
// mounts or a virtual machine.
//
// Set up a Cache and call Make with an Image (FromStore, FromDirectory) and Options. What it returns is kept, and found
// again by the same call, or by Find with its digest, until Collect removes it.
//
// A disk is laid out as on metal (package bootloader), except that its last partition is the root itself:
//
//	0        1 MiB           2 MiB                    66 MiB                          -1 MiB
//	+--------+---------------+------------------------+-------------------------------+----------+
//	| GPT,   | 1: BIOS boot  | 2: EFI system, FAT32   | 3: root, ext4 or btrfs        | backup   |
//	| boot   | core.img      | /EFI/BOOT/BOOTX64.EFI  | /etc/fstab, /vmlinuz, …       | GPT      |
//	| sector |               | /griddle/grub.cfg      |                               |          |
//	+--------+---------------+------------------------+-------------------------------+----------+
//
// The image passes as one tar stream (package archive/tar) through package tree, which checks every name, adds files
// and notes what is in it; tar(1) unpacks the result, `mke2fs -d` or `mkfs.btrfs --rootdir` makes the filesystem
// right where it belongs in the disk, and qemu-img converts it. On its first boot the partition and the filesystem
// grow to the disk they are on: by systemd-repart and systemd-growfs where the image has them, else by its
// cloud-init, if any (Disk.Grows).
//
// Guarantees. With ext4 the same Image and Options and the same versions of the programs give the same bytes, raw,
// qcow2 and vhd: UUIDs are derived from what goes in, and no time but the files' own is written. btrfs and vmdk are not
// reproducible: mkfs.btrfs takes inode numbers from the directory it reads, and draws UUIDs; vmdk holds random numbers.
// Modification times are the image's to the nanosecond, on ext4 from December 1901 to May 2446; those outside become
// the nearest one, with a warning. A disk is in the cache whole and durable, or not at all, whatever is killed when;
// two processes that want the same one make it once. Any user can make disks: one who is not root does it in a user
// namespace with the users that /etc/subuid gives (newuidmap, Debian package uidmap), where device nodes cannot be
// made, and are refused by name or left out (Options.DropDevices). What comes from the image is hostile: names that
// lead elsewhere, links on the way, and bounds are checked. Zeros in files become holes: on ext4 each block of them, on
// btrfs each MiB. Extended attributes of the root directory itself are not kept on ext4. Programs: tar, mke2fs,
// debugfs, dumpe2fs, mkfs.btrfs, mkfs.vfat, mtools, qemu-img, unshare.
//
// Sources: UEFI 2.10 section 5.3 (GPT); mke2fs(8), debugfs(8), qemu-img(1), systemd-repart(8),
// repart.d(5), user_namespaces(7).
package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"griddle/cloud/diskimage/tree"
)

// Format is how a disk is written down.
type Format string

// The formats. Raw, QCOW2 and Tree are what providers ask for.
const (
	Raw   Format = "raw"   // the sectors, as a sparse file
	QCOW2 Format = "qcow2" // QEMU's, compressed by zlib, which every version of QEMU reads
	VHD   Format = "vhd"   // Virtual PC's, of fixed size: the sectors and a footer, as Azure wants it; a sparse file
	VMDK  Format = "vmdk"  // VMware's, for a stream (streamOptimized)
	Tree  Format = "tree"  // no disk: the image's tar with Options.Files over it, for containers
)

// Filesystem is what the root partition has.
type Filesystem string

// The filesystems.
const (
	Ext4  Filesystem = "ext4"
	Btrfs Filesystem = "btrfs" // without further subvolumes
)

const (
	mib = 1 << 20

	// MaxSize is the largest disk that is made, in bytes: 2 TiB, as far as a VHD and the smallest EBS go.
	MaxSize = 2 << 40
)

// Image is the content of an image of the catalog.
type Image struct {
	Ref    string // for messages: web:20261120.1@amd64
	Digest string // names the content: "sha256:" and 64 hex digits. Images with the same one have the same tree
	Arch   string // amd64; nothing else boots yet
	// Tar writes the tree as a tar archive, each folder before what is in it. It may report how that
	// proceeds.
	Tar func(ctx context.Context, w io.Writer, progress Bytes) error
}

// Options is what a disk is to be. The zero value is a qcow2 with ext4, with room for a quarter more than is in it.
type Options struct {
	Format     Format     `json:"format,omitempty"`
	Filesystem Filesystem `json:"filesystem,omitempty"`
	// bytes of the whole disk, a multiple of 1 MiB; 0 for what fits
	Size  int64    `json:"size,omitempty"`
	Title string   `json:"title,omitempty"` // in the boot menu; "" means Linux
	Args  []string `json:"args,omitempty"`  // kernel arguments, one each; they win over ours
	Files []File   `json:"files,omitempty"` // added to the image; they replace what has their paths
	// leave out device nodes below /dev: the kernel makes them itself at boot
	DropDevices bool `json:"dropDevices,omitempty"`
}

// File is a file, directory or symlink that is added to an image.
type File = tree.File

// Disk is a disk that was made.
type Disk struct {
	Key     string `json:"key"`     // names Image, Options and what else went in: 64 hex digits
	Ref     string `json:"ref"`     // Image.Ref of the first caller
	Image   string `json:"image"`   // Image.Digest
	Digest  string `json:"digest"`  // of the file: "sha256:" and 64 hex digits
	Format  Format `json:"format"`  //
	Size    int64  `json:"size"`    // bytes of the file
	Virtual int64  `json:"virtual"` // bytes of the disk; 0 for a Tree
	BIOS    bool   `json:"bios"`    // boots by BIOS
	UEFI    bool   `json:"uefi"`    // boots by UEFI
	Kernel  string `json:"kernel"`  // "image", or the release that was put in; "" for a Tree
	Grows   string `json:"grows"`   // by what its root grows on first boot: systemd, cloud-init, or "" for nothing

	Path string `json:"-"` // of the file, while it is not collected
}

// filled returns o with its defaults, or every mistake in it.
func (o Options) filled() (Options, error) {
	if o.Format == "" {
		o.Format = QCOW2
	}
	if o.Filesystem == "" {
		o.Filesystem = Ext4
	}
	if o.Title == "" {
		o.Title = "Linux"
	}
	var errs []error
	switch o.Format {
	case Raw, QCOW2, VHD, VMDK, Tree:
	default:
		errs = append(errs, fmt.Errorf("format %q is not one of raw, qcow2, vhd, vmdk, tree", o.Format))
	}
	switch o.Filesystem {
	case Ext4, Btrfs:
	default:
		errs = append(errs, fmt.Errorf("filesystem %q is not one of ext4, btrfs", o.Filesystem))
	}
	if o.Size < 0 || o.Size > MaxSize || o.Size%mib != 0 {
		errs = append(errs, fmt.Errorf("size %d is not a multiple of 1 MiB up to 2 TiB", o.Size))
	}
	over := map[string]bool{}
	for _, f := range o.Files {
		if err := f.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("file %.200q: %w", f.Path, err))
		} else if over[f.Name()] {
			errs = append(errs, fmt.Errorf("file %.200q is given twice", f.Path))
		}
		over[f.Name()] = true
	}
	if o.Format == Tree { // nothing below is in one; equal trees have equal keys
		o.Filesystem, o.Size, o.Title, o.Args = "", 0, "", nil
	}
	return o, errors.Join(errs...)
}

func (i Image) validate() error {
	var errs []error
	if !isDigest(i.Digest) {
		errs = append(errs, fmt.Errorf("digest %.80q is not sha256: and 64 hex digits", i.Digest))
	}
	if i.Arch != "amd64" {
		errs = append(errs, fmt.Errorf("architecture %.20q: only amd64 boots yet", i.Arch))
	}
	if i.Tar == nil {
		errs = append(errs, errors.New("it has no content"))
	}
	return errors.Join(errs...)
}

func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && isHex(hex)
}

func isHex(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
