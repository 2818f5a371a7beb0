// Package initramfs decides which kernel modules and firmware are in the boot image (Select, Firmware). It reads and
// writes no files: mkboot does that, and griddle-agent runs from the image.
//
// To build the image, see the program mkboot. The server adds the site's part: see package appliance/site.
//
// The image is a concatenation of archives in the "newc" form of cpio, as the kernel takes them
// (Documentation/driver-api/early-userspace/buffer-format.rst):
//
//	+-----------------+----------------+---------+------------------+
//	| zstd: base      | zstd: commands | zstd:   | plain: site      |
//	| modules,        | u-root's core  | agent   | /etc/griddle/    |
//	| firmware, tools | commands       |         | site.json        |
//	+-----------------+----------------+---------+------------------+
//	 <------------ initramfs, built once ------->  <- at serve time ->
//
// Each zstd frame ends on a multiple of four bytes, padded with zeros, which the kernel skips. A later archive
// replaces files of an earlier one.
//
// Beside it is the tools archive, with the programs and modules that few machines need: it is fetched when one of them
// is needed (package toolbox). The image says which archive is its own, see Build.Tools.
package initramfs

import (
	"encoding/hex"
	"strings"
)

// Paths inside the image.
const (
	BuildPath  = "etc/griddle/build.json"
	AgentPath  = "usr/lib/griddle/griddle-agent"
	GRUBPath   = "usr/lib/griddle/grub"
	ModulesDir = "lib/modules"
)

// FirstRoot is the file of the boot directory that is /init of a kernel image's small initrd: the program firstroot.
const FirstRoot = "firstroot"

// MaxSize is the limit for the size of kernel and initramfs together, and MaxTools that of the tools archive, in bytes.
const (
	MaxSize  = 40_000_000
	MaxTools = 20_000_000
)

// Build is the version and age of the image: the content of BuildPath, as JSON.
type Build struct {
	Version string `json:"version"` // for people
	Time    int64  `json:"time"`    // seconds since 1970; the agent never sets a clock further back than this
	Kernel  string `json:"kernel"`  // release, "6.1.0-56-amd64"

	// Tools is the tools archive of this image; nil in images of before there was one.
	Tools *Archive `json:"tools,omitempty"`
}

// Archive names the tools archive of a boot image: an archive like the image's own, in one zstd frame. It is below
// ToolsDir in the boot directory, under its Name.
type Archive struct {
	SHA256   string `json:"sha256"`   // of the file, 64 hex digits
	Size     int64  `json:"size"`     // of the file, in bytes
	Unpacked int64  `json:"unpacked"` // of the files in it, in bytes
}

// ToolsDir is the folder of the boot directory that has tools archives: that of the present image, and some of before,
// for machines that run an earlier image.
const ToolsDir = "tools"

// Name is the name of the archive's file.
func (a Archive) Name() string { return a.SHA256 + ".cpio.zst" }

// Valid says whether a names an archive that may exist.
func (a Archive) Valid() bool {
	sum, err := hex.DecodeString(a.SHA256)
	return err == nil && len(sum) == 32 && strings.ToLower(a.SHA256) == a.SHA256 && a.Size > 0 && a.Size <= MaxTools &&
		a.Unpacked > 0 && a.Unpacked < 1<<30
}
