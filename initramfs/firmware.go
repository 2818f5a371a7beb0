package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// FirmwareNames lists the firmware that the uncompressed module in r may ask for, as its .modinfo section names it
// (MODULE_FIRMWARE in include/linux/module.h).
func FirmwareNames(r io.ReaderAt) ([]string, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("reading a module: %w", err)
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, nil
	}
	b, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("reading a module: %w", err)
	}
	var out []string
	for _, field := range bytes.Split(b, []byte{0}) {
		if name, ok := bytes.CutPrefix(field, []byte("firmware=")); ok {
			out = append(out, string(name))
		}
	}
	return out, nil
}

// Firmware returns the files of have, a tree like lib/firmware, that match names, sorted. A name may have wildcards.
// For a symbolic link it also returns the target. It leaves out names without a file: no set of packages has all of
// them. It leaves out a file too that its driver asks for only if a newer one is missing, if that is there.
func Firmware(have fs.ReadLinkFS, names []string) ([]string, error) {
	found := map[string]bool{}
	var add func(p string, depth int) error
	add = func(p string, depth int) error {
		info, err := have.Lstat(p)
		if err != nil || found[p] || info.IsDir() {
			return nil // dangling, known, or a directory of the same name
		}
		found[p] = true
		if info.Mode()&fs.ModeSymlink == 0 {
			return nil
		}
		to, err := have.ReadLink(p)
		if err != nil {
			return fmt.Errorf("reading firmware link: %w", err)
		}
		if strings.HasPrefix(to, "/") || depth == 0 {
			return fmt.Errorf("firmware link %s leads to %s, outside the tree or in a circle", p, to)
		}
		return add(path.Join(path.Dir(p), to), depth-1)
	}
	for _, name := range names {
		matches, err := fs.Glob(have, name)
		if err != nil {
			return nil, fmt.Errorf("firmware name %q: %w", name, err)
		}
		for _, m := range matches {
			if err := add(m, 8); err != nil {
				return nil, err
			}
		}
	}
	for old, newer := range replaced() {
		if found[newer] {
			delete(found, old)
		}
	}
	out := make([]string, 0, len(found))
	for p := range found {
		out = append(out, p)
	}
	slices.Sort(out)
	return out, nil
}
