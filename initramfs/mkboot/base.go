package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/drivers"
	"griddle/initramfs/facts"
	"griddle/initramfs/ntfs"

	"github.com/u-root/u-root/pkg/ldd"
)

// base is the archive of kernel modules, firmware and tools.
func (b *builder) base(k *kernel) ([]byte, error) {
	modules, err := drivers.Take(k.modules, initramfs.DefaultChoice())
	if err != nil {
		return nil, err
	}
	records := modules.Records
	var wanted []string
	for _, m := range modules.Paths {
		names, err := firmwareNames(filepath.Join(k.modules, m))
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, names...)
	}
	blobs, err := initramfs.Firmware(os.DirFS(k.firmware).(fs.ReadLinkFS), wanted)
	if err != nil {
		return nil, err
	}
	for _, p := range blobs {
		if records, err = appendFile(records, "lib/firmware/"+p, filepath.Join(k.firmware, p)); err != nil {
			return nil, err
		}
	}
	b.printf("%d modules, %d firmware files of Linux %s", len(modules.Paths), len(blobs), k.release)
	// u-root's own shell keeps the terminal raw while a program runs, so that Ctrl-C does not reach it: the rescue
	// shell is bash, with job control, over u-root's commands.
	// vfat is a link to fat
	tools := []string{"/bin/bash", "/bin/btrfs", content.BlkidPath, "/usr/sbin/mkfs.btrfs", "/usr/sbin/mkfs.vfat",
		"/usr/sbin/mkfs.fat", ntfs.ProbePath, ntfs.ResizePath,
		// for layouts: filesystems that are checked, shrunk and made; mkfs.ext4 is a link to mke2fs
		"/sbin/e2fsck", facts.ResizePath, "/sbin/mke2fs", "/sbin/mkfs.ext4", "/sbin/mkfs.xfs"}
	files, err := ldd.FList(tools...)
	if err != nil {
		return nil, fmt.Errorf("finding the libraries of %s: %w (run make deps)", strings.Join(tools, ", "), err)
	}
	for _, f := range append(files, tools...) {
		if records, err = appendFile(records, f, f); err != nil {
			return nil, err
		}
	}
	const defaults = "/etc/mke2fs.conf"
	if records, err = appendFile(records, defaults, defaults); err != nil {
		return nil, err
	}
	for _, terminal := range []string{"l/linux", "v/vt220"} {
		if records, err = appendFile(records, "lib/terminfo/"+terminal, "/lib/terminfo/"+terminal); err != nil {
			return nil, err
		}
	}
	return archive(records)
}

func firmwareNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a module: %w", err)
	}
	defer f.Close()
	return initramfs.FirmwareNames(f)
}
