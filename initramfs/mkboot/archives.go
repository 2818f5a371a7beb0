package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keepArchives is how many tools archives stay beside the present one.
const keepArchives = 3

// dropArchives removes the tools archives in dir but the present one and the last few: machines that run an earlier
// image fetch theirs by its digest.
func dropArchives(dir, present string) error {
	found, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	var old []fs.FileInfo
	for _, f := range found {
		info, err := f.Info()
		if err != nil {
			return fmt.Errorf("clearing %s: %w", dir, err)
		}
		if info.Mode().IsRegular() && f.Name() != present {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	for _, f := range old[min(keepArchives, len(old)):] {
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("clearing %s: %w", dir, err)
		}
	}
	return nil
}
