package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"griddle/imagestore/durable"
)

// identity reads the age identity, or makes it. Two processes that make it at once end up with the same one.
func identity(disk durable.Disk, path string) (*age.X25519Identity, error) {
	if err := disk.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return nil, err
		}
		text := "# griddle's own: what it keeps with its stacks is encrypted for this identity\n" + id.String() + "\n"
		if err := disk.Create(path, []byte(text), 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	b, err := readPrivate(disk, path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("%s: this is not an age identity", path) // the error could have the line in it
		}
		return id, nil
	}
	return nil, fmt.Errorf("%s: it has no age identity", path)
}

// readPrivate reads a file that nobody but its owner and root may read.
func readPrivate(disk durable.Disk, path string) ([]byte, error) {
	i, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: this is not a regular file", path)
	}
	if i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others may read it (mode %04o): chmod 600 it", path, i.Mode().Perm())
	}
	if i.Size() > maxSealed {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", path, i.Size(), maxSealed)
	}
	return disk.ReadFile(path)
}
