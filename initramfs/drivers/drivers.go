// Package drivers makes the modules of a kernel a part of an initramfs: the files of some modules, and tables that
// name no others.
//
// Call Take, or Add for what is unpacked later. The boot image has the drivers of disks and network cards
// (initramfs.DefaultChoice), the tools archive more (initramfs.ToolsChoice), and the small initrd of a kernel image
// those of disks (initramfs.RootChoice). The same tree and choice give the same records.
//
// Sources: modules.dep(5), depmod(8).
package drivers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	t, err := read(dir)
	if err != nil {
		return Set{}, err
	}
	paths, err := t.tree.Select(c)
	if err != nil {
		return Set{}, err
	}
	return t.set(paths, paths)
}

// Add is Take for an archive that is unpacked over one with the modules of base: it has those that more selects and
// that base does not have, and tables that name all of both.
func Add(dir string, base, more initramfs.Choice) (Set, error) {
	t, err := read(dir)
	if err != nil {
		return Set{}, err
	}
	have, err := t.tree.Select(base)
	if err != nil {
		return Set{}, err
	}
	added, err := t.tree.Select(more)
	if err != nil {
		return Set{}, err
	}
	added = slices.DeleteFunc(added, func(p string) bool { return slices.Contains(have, p) })
	all := slices.Concat(have, added)
	slices.Sort(all)
	return t.set(added, all)
}

// tree is a kernel's modules.
type tree struct {
	dir    string
	tables map[string][]byte
	tree   *initramfs.Tree
}

func read(dir string) (*tree, error) {
	t := &tree{dir: dir, tables: map[string][]byte{}}
	for _, name := range []string{"modules.dep", "modules.softdep", "modules.alias", "modules.builtin"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("reading the module tables: %w", err)
		}
		t.tables[name] = data
	}
	var err error
	t.tree, err = initramfs.ParseTree(bytes.NewReader(t.tables["modules.dep"]),
		bytes.NewReader(t.tables["modules.softdep"]), bytes.NewReader(t.tables["modules.alias"]))
	if err != nil {
		return nil, fmt.Errorf("reading the module tables: %w", err)
	}
	return t, nil
}

// set has the modules at paths, and tables that name all.
func (t *tree) set(paths, all []string) (Set, error) {
	set := Set{Paths: paths}
	to := initramfs.ModulesDir + "/" + filepath.Base(t.dir) + "/"
	var dep strings.Builder
	for _, p := range all {
		fmt.Fprintf(&dep, "%s:", p)
		for _, d := range t.tree.Deps[p] {
			fmt.Fprintf(&dep, " %s", d)
		}
		dep.WriteByte('\n')
	}
	for _, p := range paths {
		data, err := os.ReadFile(filepath.Join(t.dir, p))
		if err != nil {
			return set, fmt.Errorf("reading a module: %w", err)
		}
		set.Records = append(set.Records, cpio.StaticFile(to+p, string(data), 0o644))
	}
	set.Records = append(set.Records,
		cpio.StaticFile(to+"modules.dep", dep.String(), 0o644),
		cpio.StaticFile(to+"modules.builtin", string(t.tables["modules.builtin"]), 0o644))
	for _, name := range []string{"modules.alias", "modules.softdep"} {
		kept, err := initramfs.Keep(bytes.NewReader(t.tables[name]), all)
		if err != nil {
			return set, fmt.Errorf("reading the module tables: %w", err)
		}
		set.Records = append(set.Records, cpio.StaticFile(to+name, kept, 0o644))
	}
	return set, nil
}
