package tree

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/appliance/site"
	"griddle/initramfs"
	"griddle/initramfs/drivers"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
)

// window is the largest distance between equal bytes that the compressor uses, in bytes. The kernel takes up to 128 MiB
// (lib/decompress_unzstd.c).
const window = 32 << 20

// initrd is the small archive that finds the root: program as process 1 and as modprobe, and the drivers of disks from
// modules, the directory of a release.
func initrd(modules string, program []byte) ([]byte, error) {
	set, err := drivers.Take(modules, initramfs.RootChoice())
	if err != nil {
		return nil, err
	}
	if err := hasBtrfs(modules, set.Paths); err != nil {
		return nil, err
	}
	records := append(set.Records,
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.Directory("proc", 0o555), cpio.Directory("sys", 0o555), cpio.Directory("root", 0o755),
		cpio.StaticFile("init", string(program), 0o755), cpio.Symlink("sbin/modprobe", "/init"))
	var plain bytes.Buffer
	if err := site.WriteCPIO(&plain, records); err != nil {
		return nil, fmt.Errorf("making the initrd: %w", err)
	}
	// With more than one thread the bytes would depend on the number of processors.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window))
	if err != nil {
		return nil, fmt.Errorf("making the initrd: %w", err)
	}
	out := z.EncodeAll(plain.Bytes(), nil)
	return append(out, make([]byte, -len(out)&3)...), z.Close()
}

// hasBtrfs is an error for a kernel that cannot mount a pool.
func hasBtrfs(modules string, paths []string) error {
	builtin, err := os.ReadFile(filepath.Join(modules, "modules.builtin"))
	if err != nil {
		return fmt.Errorf("reading the module tables: %w", err)
	}
	all := append(slices.Clone(paths), strings.Fields(string(builtin))...)
	if !slices.ContainsFunc(all, func(p string) bool { return initramfs.ModuleName(p) == "btrfs" }) {
		return fmt.Errorf("making the initrd: the kernel has no btrfs, which the root of every installed machine is")
	}
	return nil
}
