// Package kept keeps which volumes a machine has, where all its roots share it: in @persistent of the pool.
//
// An install writes the record of what a plan made with Write. Of reads it, for what has to start the volumes from the
// network, or to know whether an image could. A record that cannot be read is an error and never an empty one.
package kept

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/imagestore/durable"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/sysroot"
	"griddle/initramfs/volume"
)

// File is the name of the record in @persistent.
const File = machinekey.Folder + "/volumes.json"

// Read reads the record in persistent, which is @persistent. A machine without one has an empty one.
func Read(persistent *os.Root) (volume.Record, error) {
	b, err := sysroot.Dir{Root: persistent}.Read(File)
	if err != nil || b == nil {
		return volume.Record{}, err
	}
	r, err := volume.ParseRecord(b)
	if err != nil {
		err = fmt.Errorf("/persistent/%s: %w", File, err)
	}
	return r, err
}

// Of reads the record of the pool whose top is at a path. A pool without @persistent has an empty one.
func Of(top string) (volume.Record, error) {
	dir, err := os.OpenRoot(filepath.Join(top, "@persistent"))
	if errors.Is(err, os.ErrNotExist) {
		return volume.Record{}, nil
	}
	if err != nil {
		return volume.Record{}, fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	defer dir.Close()
	return Read(dir)
}

// Write replaces the record in persistent, and removes an empty one. It is durable on return by the fsync and the
// rename of durable.Disk.Replace: a crash leaves the old record or the new one. The folder griddle exists.
func Write(persistent *os.Root, r volume.Record) error {
	file := filepath.Join(persistent.Name(), File)
	b, err := r.Bytes()
	switch {
	case err != nil:
		return err
	case b == nil:
		err = durable.Disk{}.Remove(file)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	default:
		err = durable.Disk{}.Replace(file, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping which volumes this machine has: %w", err)
	}
	return nil
}
