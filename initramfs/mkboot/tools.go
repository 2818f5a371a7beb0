package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"griddle/initramfs"
	"griddle/initramfs/debian"
	"griddle/initramfs/drivers"

	"github.com/u-root/u-root/pkg/cpio"
)

// tools makes the tools archive: programs of Debian's packages with their libraries, and kernel modules. have are the
// archives of the boot image, whose files are not repeated.
func (b *builder) tools(ctx context.Context, k *kernel, have ...[]byte) (archived []byte, a initramfs.Archive,
	err error) {
	p, err := b.toolSet(ctx)
	if err != nil {
		return nil, a, err
	}
	c := &collection{root: p.root, taken: map[string]bool{}, from: map[string]string{}}
	for _, archive := range have {
		if err := c.leaveOut(archive); err != nil {
			return nil, a, err
		}
	}
	for _, t := range toolPackages() {
		if err := c.add(t); err != nil {
			return nil, a, err
		}
	}
	if err := c.complete(toolPackages()); err != nil {
		return nil, a, err
	}
	records, err := c.records()
	if err != nil {
		return nil, a, err
	}
	modules, err := drivers.Add(k.modules, initramfs.DefaultChoice(), initramfs.ToolsChoice())
	if err != nil {
		return nil, a, err
	}
	records = append(records, modules.Records...)
	for _, r := range records {
		a.Unpacked += int64(r.FileSize)
	}
	raw, err := archive(records)
	if err != nil {
		return nil, a, err
	}
	if archived, err = b.compress(ctx, "the tools archive", raw, toolsWindow); err != nil {
		return nil, a, err
	}
	sum := sha256.Sum256(archived)
	a.SHA256, a.Size = hex.EncodeToString(sum[:]), int64(len(archived))
	b.printf("tools archive: %d files, %d modules, %.1f MB, compressed %d bytes, %d below the limit", len(records),
		len(modules.Paths), float64(len(raw))/1e6, a.Size, initramfs.MaxTools-a.Size)
	if a.Size > initramfs.MaxTools {
		return nil, a, fmt.Errorf("the tools archive has %d bytes, the limit is %d: remove tools from toolPackages",
			a.Size, initramfs.MaxTools)
	}
	return archived, a, nil
}

// toolSet downloads the packages, each into a folder of its own. No release of Debian has all of them.
func (b *builder) toolSet(ctx context.Context) (*unpacked, error) {
	var names []string
	for _, t := range toolPackages() {
		names = append(names, t.name)
	}
	return b.packages(ctx, set{name: "tools", wanted: names,
		all: func(ctx context.Context, m *debian.Mirror) ([]string, error) {
			there, err := m.There(ctx, names...)
			if err != nil {
				return nil, err
			}
			return m.Libraries(ctx, there...)
		},
		folder: func(pkg string) string { return pkg }})
}

// collection is the files of the packages that go into the archive.
type collection struct {
	root  string            // of the packages, a folder for each
	taken map[string]bool   // names that the boot image has
	from  map[string]string // name in the archive -> file below root
}

// leaveOut notes the files of an archive of the boot image.
func (c *collection) leaveOut(archive []byte) error {
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		return fmt.Errorf("reading the boot image: %w", err)
	}
	for _, r := range records {
		if r.Mode&cpio.S_IFMT != cpio.S_IFDIR {
			c.taken[r.Name] = true
		}
	}
	return nil
}

// binDirs are where packages have their programs.
func binDirs() []string { return []string{"bin", "sbin", "usr/bin", "usr/sbin"} }

// add takes the files of a package. Patterns that match nothing are left for complete: releases of Debian move files
// about.
func (c *collection) add(t toolPackage) error {
	dir := filepath.Join(c.root, t.name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, pattern := range t.take {
		patterns := []string{pattern}
		if !strings.Contains(pattern, "/") {
			patterns = below(binDirs(), pattern)
		}
		for _, p := range patterns {
			names, err := filesBelow(dir, p)
			if err != nil {
				return fmt.Errorf("the package %s: %w", t.name, err)
			}
			for _, name := range names {
				c.take(name, filepath.Join(t.name, name))
			}
		}
	}
	return nil
}

// below are the paths of a name in dirs.
func below(dirs []string, name string) []string {
	var out []string
	for _, d := range dirs {
		out = append(out, d+"/"+name)
	}
	return out
}

// complete is an error if a program is missing that one of the packages should have.
func (c *collection) complete(all []toolPackage) error {
	for _, t := range all {
		for _, name := range t.take {
			if strings.ContainsAny(name, "/*") || slices.ContainsFunc(below(binDirs(), name), func(p string) bool {
				return c.taken[p] || c.from[p] != ""
			}) {
				continue
			}
			return fmt.Errorf("no package of this Debian has the program %s, not even %s", name, t.name)
		}
	}
	return nil
}

func (c *collection) take(name, from string) {
	if !c.taken[name] {
		c.from[name] = from
	}
}

// filesBelow lists the files of dir that match a pattern, by their paths below it.
func filesBelow(dir, pattern string) ([]string, error) {
	folder, all := strings.CutSuffix(pattern, "/")
	if !all {
		return fs.Glob(os.DirFS(dir), pattern)
	}
	var out []string
	err := fs.WalkDir(os.DirFS(dir), folder, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p == folder {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			out = append(out, p)
		}
		return err
	})
	return out, err
}

// records are the files of the archive, with the libraries that they need.
func (c *collection) records() ([]cpio.Record, error) {
	libs, err := c.libraries()
	if err != nil {
		return nil, err
	}
	for _, name := range opened() {
		if err := c.library(libs, name, "a program that opens it"); err != nil {
			return nil, err
		}
	}
	if err := c.resolve(libs); err != nil {
		return nil, err
	}
	var records []cpio.Record
	var certificates []byte
	for _, name := range sortedKeys(c.from) {
		file := filepath.Join(c.root, c.from[name])
		if strings.HasPrefix(name, "usr/share/ca-certificates/") {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("adding %s: %w", name, err)
			}
			certificates = append(certificates, data...)
			continue
		}
		if records, err = appendFile(records, name, file); err != nil {
			return nil, err
		}
	}
	for name, program := range toolLinks() {
		i := slices.IndexFunc(below(binDirs(), program), func(p string) bool { return c.from[p] != "" })
		if i < 0 {
			return nil, fmt.Errorf("%s is to be %s, which no package has", name, program)
		}
		records = append(records, cpio.Symlink("usr/bin/"+name, "/"+below(binDirs(), program)[i]))
	}
	// What curl looks at; the agent adds the site's own CA (package toolbox).
	return append(records, cpio.StaticFile(bundle, string(certificates), 0o644),
		cpio.StaticFile("etc/lvm/lvm.conf", lvmConfig, 0o644)), nil
}

// lvmConfig has LVM make the device files of volumes itself: no udev runs that would do it.
const lvmConfig = "activation {\n\tudev_sync = 0\n\tudev_rules = 0\n\tmonitoring = 0\n}\n"

// resolve takes what the files of the collection need, and what that needs.
func (c *collection) resolve(libs map[string]string) error {
	done := map[string]bool{}
	for len(done) < len(c.from) {
		for _, name := range sortedKeys(c.from) {
			if done[name] {
				continue
			}
			done[name] = true
			if err := c.needed(libs, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundle is where programs that use TLS have the CAs that they trust.
const bundle = "etc/ssl/certs/ca-certificates.crt"

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// libraries are the libraries of all packages: their names -> their paths below root. Those of the folders that the
// loader looks into come first.
func (c *collection) libraries() (map[string]string, error) {
	libs := map[string]string{}
	for _, pattern := range []string{"*/lib/x86_64-linux-gnu/*.so*", "*/usr/lib/x86_64-linux-gnu/*.so*",
		"*/lib/systemd/*.so*", "*/usr/lib/systemd/*.so*", "*/usr/lib/x86_64-linux-gnu/systemd/*.so*"} {
		found, err := fs.Glob(os.DirFS(c.root), pattern)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if _, ok := libs[path.Base(p)]; !ok {
				libs[path.Base(p)] = p
			}
		}
	}
	return libs, nil
}

// needed takes the libraries that a file links to, and the file that a link leads to.
func (c *collection) needed(libs map[string]string, name string) error {
	from := c.from[name]
	file := filepath.Join(c.root, from)
	info, err := os.Lstat(file)
	if err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return c.target(name)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	e, err := elf.Open(file)
	if err != nil {
		return nil // a script, or data
	}
	defer e.Close()
	wanted, err := e.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("finding the libraries of %s: %w", name, err)
	}
	for _, lib := range wanted {
		if err := c.library(libs, lib, name); err != nil {
			return err
		}
	}
	return nil
}

// target takes the file that a link of a package leads to, unless the boot image has it.
func (c *collection) target(name string) error {
	from := c.from[name]
	to, err := os.Readlink(filepath.Join(c.root, from))
	if err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	if !path.IsAbs(to) {
		to = path.Join(path.Dir(name), to)
	}
	to = strings.TrimPrefix(path.Clean(to), "/")
	pkg, _, _ := strings.Cut(from, "/")
	if c.taken[to] || c.from[to] != "" {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(c.root, pkg, to)); err != nil {
		return fmt.Errorf("%s of the package %s leads to %s, which the package does not have", name, pkg, to)
	}
	c.take(to, path.Join(pkg, to))
	return nil
}

// library takes a library by its name, unless the boot image has it.
func (c *collection) library(libs map[string]string, lib, by string) error {
	for _, p := range below([]string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64"}, lib) {
		if c.taken[p] {
			return nil
		}
	}
	from, ok := libs[lib]
	if !ok {
		return fmt.Errorf("%s needs %s, which is in none of the packages", by, lib)
	}
	_, name, _ := strings.Cut(from, "/")
	c.take(name, from)
	return nil
}
