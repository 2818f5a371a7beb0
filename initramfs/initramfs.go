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
package initramfs

// Paths inside the image.
const (
	BuildPath  = "etc/griddle/build.json"
	AgentPath  = "usr/lib/griddle/griddle-agent"
	GRUBPath   = "usr/lib/griddle/grub"
	ModulesDir = "lib/modules"
)

// FirstRoot is the file of the boot directory that is /init of a kernel image's small initrd: the program firstroot.
const FirstRoot = "firstroot"

// MaxSize is the limit for the size of kernel and initramfs together, in bytes.
const MaxSize = 40_000_000

// Build is the version and age of the image: the content of BuildPath, as JSON.
type Build struct {
	Version string `json:"version"` // for people
	Time    int64  `json:"time"`    // seconds since 1970; the agent never sets a clock further back than this
	Kernel  string `json:"kernel"`  // release, "6.1.0-56-amd64"
}
