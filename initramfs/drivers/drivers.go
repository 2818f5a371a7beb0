// Package drivers makes the modules of a kernel a part of an initramfs: the files of some modules, and tables that
// name no others.
//
// Call Take. The boot image has the drivers of disks and network cards (initramfs.DefaultChoice), the small initrd
// of a kernel image those of disks (initramfs.RootChoice). The same tree and choice give the same records.
//
// Sources: modules.dep(5), depmod(8).
package drivers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griddle/initramfs"

	"github.com/u-root/u-root/pkg/cpio"
)

// Set is the modules of an initramfs.
type Set struct {
	Records []cpio.Record // of the modules and the tables
	Paths   []string      // sorted, of the modules below the tree's directory
}

// Take selects modules of the tree at dir, which depmod completed: .../lib/modules/RELEASE. The records are below
// initramfs.ModulesDir/RELEASE.
func Take(dir string, c initramfs.Choice) (Set, error) {
	var set Set
	tables := map[string][]byte{}
	for _, name := range []string{"modules.dep", "modules.softdep", "modules.alias", "modules.builtin"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
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
	if set.Paths, err = tree.Select(c); err != nil {
		return set, err
	}
	to := initramfs.ModulesDir + "/" + filepath.Base(dir) + "/"
	var dep strings.Builder
	for _, p := range set.Paths {
		fmt.Fprintf(&dep, "%s:", p)
		for _, d := range tree.Deps[p] {
			fmt.Fprintf(&dep, " %s", d)
		}
		dep.WriteByte('\n')
		data, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			return set, fmt.Errorf("reading a module: %w", err)
		}
		set.Records = append(set.Records, cpio.StaticFile(to+p, string(data), 0o644))
	}
	set.Records = append(set.Records,
		cpio.StaticFile(to+"modules.dep", dep.String(), 0o644),
		cpio.StaticFile(to+"modules.builtin", string(tables["modules.builtin"]), 0o644))
	for _, name := range []string{"modules.alias", "modules.softdep"} {
		kept, err := initramfs.Keep(bytes.NewReader(tables[name]), set.Paths)
		if err != nil {
			return set, fmt.Errorf("reading the module tables: %w", err)
		}
		set.Records = append(set.Records, cpio.StaticFile(to+name, kept, 0o644))
	}
	return set, nil
}
