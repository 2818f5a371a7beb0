package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs"
	"griddle/initramfs/disk"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/u-root/pkg/ldd"
)

// base is the archive of kernel modules, firmware and tools.
func (b *builder) base(k *kernel) ([]byte, error) {
	modules, err := b.modules(k)
	if err != nil {
		return nil, err
	}
	records := modules.records
	blobs, err := initramfs.Firmware(os.DirFS(k.firmware).(fs.ReadLinkFS), modules.firmware)
	if err != nil {
		return nil, err
	}
	for _, p := range blobs {
		if records, err = appendFile(records, "lib/firmware/"+p, filepath.Join(k.firmware, p)); err != nil {
			return nil, err
		}
	}
	b.printf("%d modules, %d firmware files of Linux %s", modules.count, len(blobs), k.release)
	// u-root's own shell keeps the terminal raw while a program runs, so that Ctrl-C does not reach it: the rescue
	// shell is bash, with job control, over u-root's commands.
	// vfat is a link to fat
	tools := []string{"/bin/bash", "/bin/btrfs", disk.BlkidPath, "/usr/sbin/mkfs.btrfs", "/usr/sbin/mkfs.vfat",
		"/usr/sbin/mkfs.fat"}
	files, err := ldd.FList(tools...)
	if err != nil {
		return nil, fmt.Errorf("finding the libraries of %s: %w (run make deps)", strings.Join(tools, ", "), err)
	}
	for _, f := range append(files, tools...) {
		if records, err = appendFile(records, f, f); err != nil {
			return nil, err
		}
	}
	for _, terminal := range []string{"l/linux", "v/vt220"} {
		if records, err = appendFile(records, "lib/terminfo/"+terminal, "/lib/terminfo/"+terminal); err != nil {
			return nil, err
		}
	}
	return archive(records)
}

type moduleSet struct {
	records  []cpio.Record
	firmware []string // names that the modules ask for
	count    int
}

func (b *builder) modules(k *kernel) (moduleSet, error) {
	var set moduleSet
	tables := map[string][]byte{}
	for _, name := range []string{"modules.dep", "modules.softdep", "modules.alias", "modules.builtin"} {
		data, err := os.ReadFile(filepath.Join(k.modules, name))
		if err != nil {
			return set, fmt.Errorf("reading the module tables: %w", err)
		}
		tables[name] = data
	}
	tree, err := initramfs.ParseTree(bytes.NewReader(tables["modules.dep"]), bytes.NewReader(tables["modules.softdep"]),
		bytes.NewReader(tables["modules.alias"]))
	if err != nil {
		return set, fmt.Errorf("reading the module tables: %w", err)
	}
	paths, err := tree.Select(initramfs.DefaultChoice())
	if err != nil {
		return set, err
	}
	set.count = len(paths)
	dir := initramfs.ModulesDir + "/" + k.release + "/"
	var dep strings.Builder
	for _, p := range paths {
		fmt.Fprintf(&dep, "%s:", p)
		for _, d := range tree.Deps[p] {
			fmt.Fprintf(&dep, " %s", d)
		}
		dep.WriteByte('\n')
		from := filepath.Join(k.modules, p)
		if set.records, err = appendFile(set.records, dir+p, from); err != nil {
			return set, err
		}
		names, err := firmwareNames(from)
		if err != nil {
			return set, err
		}
		set.firmware = append(set.firmware, names...)
	}
	set.records = append(set.records,
		cpio.StaticFile(dir+"modules.dep", dep.String(), 0o644),
		cpio.StaticFile(dir+"modules.builtin", string(tables["modules.builtin"]), 0o644))
	for _, name := range []string{"modules.alias", "modules.softdep"} {
		kept, err := initramfs.Keep(bytes.NewReader(tables[name]), paths)
		if err != nil {
			return set, fmt.Errorf("reading the module tables: %w", err)
		}
		set.records = append(set.records, cpio.StaticFile(dir+name, kept, 0o644))
	}
	return set, nil
}

func firmwareNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a module: %w", err)
	}
	defer f.Close()
	return initramfs.FirmwareNames(f)
}
