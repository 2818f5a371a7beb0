package initramfs

import (
	"maps"
	"path"
	"slices"

	"github.com/u-root/u-root/pkg/cpio"
)

// withParents returns records sorted by name, the last of each name, with a directory for every parent that is
// not among them. The kernel unpacks in order and makes no parents by itself.
func withParents(records []cpio.Record) []cpio.Record {
	byName := map[string]cpio.Record{}
	for _, r := range records {
		r.Name = cpio.Normalize(r.Name)
		byName[r.Name] = r
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if _, ok := byName[dir]; !ok {
				byName[dir] = cpio.Directory(dir, 0o755)
			}
		}
	}
	out := make([]cpio.Record, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if name != "." && name != "" {
			out = append(out, byName[name])
		}
	}
	return out
}
