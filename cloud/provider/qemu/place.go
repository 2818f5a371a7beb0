package qemu

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/cloud/provider"
)

// place is a resource's directory, and what of its ID the directory does not say.
type place struct{ dir, serial string }

// find says where the resource with an ID is, if it is; false for what is no ID.
func (q *QEMU) find(kind provider.Kind, id string) (place, bool) {
	if !slices.Contains(provider.Kinds(), kind) {
		return place{}, false
	}
	parts := strings.Split(id, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || strings.ContainsRune(p, 0) || len(p) > 255 {
			return place{}, false
		}
	}
	switch {
	case kind == provider.KindImage && len(parts) == 1:
		return place{dir: q.path("images", parts[0])}, true
	case kind != provider.KindImage && len(parts) == 3:
		return place{q.path("stacks", parts[0], string(kind), parts[1]), parts[2]}, true
	}
	return place{}, false
}

// home is the directory that a resource of this name has.
func (q *QEMU) home(kind provider.Kind, stack, name string) string {
	return q.path("stacks", stack, string(kind), name)
}

// read reads the record of a directory: nil where there is none, ErrTaken where the directory is not ours.
func (q *QEMU) read(dir string) (*record, error) {
	b, err := readBounded(filepath.Join(dir, recordFile), mostRecord)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s has no %s: %w", dir, recordFile, provider.ErrTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what QEMU's server is: %w", err)
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, recordFile), err)
	}
	want := q.home(r.kind(), r.stack(), r.name())
	if r.kind() == provider.KindImage {
		want = q.path("images", r.digest())
	}
	if want != dir {
		return nil, fmt.Errorf("%s has the labels of %s %q of stack %q: %w", dir, r.kind(), r.name(),
			r.stack(), provider.ErrTaken)
	}
	return r, nil
}

// byID reads the record with an ID: nil where it is gone.
func (q *QEMU) byID(kind provider.Kind, id string) (*record, error) {
	p, ok := q.find(kind, id)
	if !ok {
		return nil, nil
	}
	r, err := q.read(p.dir)
	if err != nil || r == nil || r.kind() != kind || r.id() != id {
		return nil, err
	}
	return r, nil
}

// write brings a record up to date.
func (q *QEMU) write(r *record) error {
	dir := q.home(r.kind(), r.stack(), r.name())
	if err := q.Disk.Replace(filepath.Join(dir, recordFile), r.bytes(), 0o600); err != nil {
		return fmt.Errorf("writing down %s %q: %w", r.kind(), r.name(), room(err))
	}
	return nil
}

// place makes a resource's directory appear, with what fill puts there beside the record.
func (q *QEMU) place(r *record, staging string, fill func(dir string) error) error {
	home := q.home(r.kind(), r.stack(), r.name())
	if r.kind() == provider.KindImage {
		home = q.path("images", r.digest())
	}
	dir := q.path(staging, serial())
	err := func() error {
		if err := q.Disk.MkdirAll(filepath.Dir(home), 0o700); err != nil {
			return err
		}
		if err := q.Disk.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := fill(dir); err != nil {
			return err
		}
		if err := q.Disk.Create(filepath.Join(dir, recordFile), r.bytes(), 0o600); err != nil {
			return err
		}
		if err := q.Disk.Rename(dir, home); err != nil {
			return err
		}
		return q.Disk.SyncDir(filepath.Dir(home))
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("making %s %q: %w", r.kind(), r.name(), room(err)), os.RemoveAll(dir))
	}
	return nil
}

// drop makes a resource's directory disappear, and those above that are empty then.
func (q *QEMU) drop(dir string) error {
	gone := q.path("gone", serial())
	if err := q.Disk.Rename(dir, gone); err != nil {
		return err
	}
	if err := q.Disk.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	for up := filepath.Dir(dir); up != q.path("stacks") && up != q.path("images"); up = filepath.Dir(up) {
		if q.Disk.Remove(up) != nil {
			break
		}
	}
	return os.RemoveAll(gone)
}

func serial() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
