package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"griddle/appliance/e2e/machinetest"
)

// storeDir is the folder of the server's state with the images.
const storeDir = "store"

// Keep copies the server's state of now, without its images, under a name. The server must not run.
func (s *Site) Keep(ctx context.Context, name string) error {
	kept := s.kept(name)
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return fmt.Errorf("keeping the server's state: %w", err)
	}
	return copyState(ctx, s.state(), kept)
}

// Return gives the server the state that Keep copied. The server must not run.
func (s *Site) Return(ctx context.Context, name string) error {
	if err := eachFile(s.state(), os.RemoveAll); err != nil {
		return fmt.Errorf("returning the server's state: %w", err)
	}
	return copyState(ctx, s.kept(name), s.state())
}

func (s *Site) kept(name string) string { return s.room.path("state-" + name) }

func copyState(ctx context.Context, from, to string) error {
	return eachFile(from, func(file string) error {
		_, err := machinetest.Run(ctx, "cp", "-a", file, to)
		return err
	})
}

// eachFile calls do for all that is in dir but the store.
func eachFile(dir string, do func(file string) error) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err == nil && e.Name() != storeDir {
			err = do(filepath.Join(dir, e.Name()))
		}
	}
	return err
}

// Follow returns the server's journal of m as it grows, each entry a line of JSON, until stop is called.
func (s *Site) Follow(m *Machine) (journal *machinetest.Transcript, stop func(), err error) {
	p, err := s.room.start(m.Name+".journal", "server", s.room.opt.Binary,
		"machine", "log", m.MAC, "--follow", "--output", "json", "--state-dir", s.state())
	if err != nil {
		return nil, nil, err
	}
	return p.Output, p.Kill, nil
}
