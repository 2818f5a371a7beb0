package machinetest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// BootImage writes to file an initrd with the files of the boot image that `make boot` made in a folder, and with the
// program that runs as process 1.
func BootImage(file, folder string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in, err := os.Open(filepath.Join(folder, "initramfs"))
	if err != nil {
		return fmt.Errorf("%w: run make boot", err)
	}
	defer in.Close()
	n, err := io.Copy(out, in)
	if err == nil {
		_, err = out.Write(make([]byte, (4-n%4)%4)) // where the next archive begins
	}
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "init-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink(self, filepath.Join(dir, "init"))); err != nil {
		return err // the folder becomes / in there
	}
	cmd := exec.Command("sh", "-c", "find . | cpio --quiet --dereference -o -H newc")
	cmd.Dir, cmd.Stdout = dir, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cpio (Debian package cpio, run make deps): %w", err)
	}
	return nil
}
