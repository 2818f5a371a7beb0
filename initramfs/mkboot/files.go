package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"

	"griddle/appliance/site"
)

// appendFile adds the regular file or symbolic link at from, under the name to.
func appendFile(records []cpio.Record, to, from string) ([]cpio.Record, error) {
	info, err := os.Lstat(from)
	if err != nil {
		return nil, fmt.Errorf("adding %s: %w", to, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return nil, fmt.Errorf("adding %s: %w", to, err)
		}
		return append(records, cpio.Symlink(to, target)), nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("adding %s: %w", to, err)
	}
	return append(records, cpio.StaticFile(to, string(data), uint64(info.Mode().Perm()))), nil
}

func archive(records []cpio.Record) ([]byte, error) {
	var out bytes.Buffer
	if err := site.WriteCPIO(&out, records); err != nil {
		return nil, fmt.Errorf("writing an archive: %w", err)
	}
	return out.Bytes(), nil
}

// Windows of zstd, as powers of two: 128 MiB is the largest that the kernel takes (lib/decompress_unzstd.c), and 16 MiB
// what package toolbox takes of a machine's memory.
const (
	imageWindow = 27
	toolsWindow = 24
)

// compress is zstd -22. One thread: with more of them the bytes would depend on the number of processors.
func (b *builder) compress(ctx context.Context, name string, data []byte, window int) ([]byte, error) {
	args := []string{"--ultra", "-22", fmt.Sprintf("--long=%d", window), "--single-thread", "--no-progress", "-c"}
	version, err := exec.CommandContext(ctx, "zstd", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("compressing: %w (run make deps)", err)
	}
	return b.cached("zst", [][]byte{version, fmt.Append(nil, args), data}, func() ([]byte, error) {
		b.printf("compressing %s; this is kept for the next time", name)
		cmd := exec.CommandContext(ctx, "zstd", args...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(data), b.log
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("compressing %s: %w", name, err)
		}
		return out, nil
	})
}

// cached returns what was made before from the same inputs, or makes and keeps it.
func (b *builder) cached(kind string, inputs [][]byte, build func() ([]byte, error)) ([]byte, error) {
	h := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(h, "%d:", len(in))
		h.Write(in)
	}
	path := filepath.Join(b.cache, fmt.Sprintf("%x.%s", h.Sum(nil)[:16], kind))
	before, failed := os.ReadFile(path)
	if failed == nil && !b.verify {
		return before, nil
	}
	data, err := build()
	if err != nil {
		return nil, err
	}
	if failed == nil && !bytes.Equal(before, data) {
		return nil, fmt.Errorf("%s is not reproducible: the same inputs gave %d different bytes before",
			filepath.Base(path), len(before))
	}
	return data, replace(path, data)
}

// replace writes a file under another name first, so that a build that is interrupted leaves the old one.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
