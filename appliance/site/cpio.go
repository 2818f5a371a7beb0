package site

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/u-root/u-root/pkg/cpio"
)

// WriteCPIO writes records as one newc archive whose bytes depend on names, modes and contents alone: sorted,
// with the directories that the names need, inode numbers counted from 1, owned by root, all times 0, padded with
// zeros to a multiple of 512.
func WriteCPIO(w io.Writer, records []cpio.Record) error {
	n := &counter{w: w}
	rw := cpio.Newc.Writer(n)
	for i, r := range withParents(records) {
		r = cpio.MakeReproducible(r)
		r.Ino, r.UID, r.GID, r.MTime = uint64(i+1), 0, 0, 0
		r.NLink = 1
		if err := rw.WriteRecord(r); err != nil {
			return fmt.Errorf("writing %s: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(rw); err != nil {
		return fmt.Errorf("writing the trailer: %w", err)
	}
	if rest := n.n % 512; rest != 0 {
		if _, err := w.Write(make([]byte, 512-rest)); err != nil {
			return fmt.Errorf("writing the padding: %w", err)
		}
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

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
