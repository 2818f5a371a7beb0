package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"griddle/appliance/e2e/machinetest"
)

// Saved is a machine and its server as they were at the same time.
type Saved struct {
	dir   string
	files []string
}

// Save keeps the disks of a machine and the state of the server below NAME in the room. The machine must be off, and
// the server stopped.
func (s *Site) Save(ctx context.Context, m *Machine, name string) (Saved, error) {
	v := Saved{dir: s.room.path(name), files: []string{s.state()}}
	for _, d := range m.Disks {
		v.files = append(v.files, d.File)
	}
	if m.Firmware == UEFI {
		v.files = append(v.files, m.vars)
	}
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		return v, fmt.Errorf("saving %s and its server: %w", m.Name, err)
	}
	for i, f := range v.files {
		if err := replace(ctx, v.copy(i), f); err != nil {
			return v, fmt.Errorf("saving %s and its server: %w", m.Name, err)
		}
	}
	return v, nil
}

// Restore makes the machine and the server again what they were. The machine must be off, and the server stopped.
func (v Saved) Restore(ctx context.Context) error {
	for i, f := range v.files {
		if err := replace(ctx, f, v.copy(i)); err != nil {
			return fmt.Errorf("restoring what is in %s: %w", v.dir, err)
		}
	}
	return nil
}

// copy is where file i is kept.
func (v Saved) copy(i int) string { return filepath.Join(v.dir, strconv.Itoa(i)) }

// replace makes to a copy of the file or folder from, with its holes.
func replace(ctx context.Context, to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	_, err := machinetest.Run(ctx, "cp", "-a", "--sparse=always", "--reflink=auto", from, to)
	return err
}
