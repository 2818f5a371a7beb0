// Package guesttest boots a small Debian with cloud-init in a virtual machine, for tests of user-data.
//
// Call MakeImage, then NewLAN, then Start; what each made goes away with the context's end or its Close. The tree of
// the Debian is made by recipe/guest.sh the first time, and kept in the user's cache.
package guesttest

import (
	"context"
	_ "embed" // the recipe
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/e2e/machinetest"
)

const suite = "bookworm"

//go:embed recipe/guest.sh
var recipe []byte

// Tarball returns the tree of the guest as a tarball that zstd compressed, made with mmdebstrap if the cache has none.
// Programs that want it at the same time wait for one another.
func Tarball(ctx context.Context, log io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("making the guest's tree: %w", err)
	}
	return machinetest.Cached(filepath.Join(cache, "griddle"), "cloudguest-"+suite+".tar.zst", "cloudguest", log,
		func(work string) (string, error) {
			return makeTarball(ctx, work)
		})
}

func makeTarball(ctx context.Context, work string) (string, error) {
	mirror, err := machinetest.Mirror(ctx, suite)
	if err != nil {
		return "", err
	}
	script, made := filepath.Join(work, "guest.sh"), filepath.Join(work, "guest.tar.zst")
	if err := os.WriteFile(script, recipe, 0o755); err != nil {
		return "", err
	}
	_, err = machinetest.Run(ctx, "bash", script, suite, mirror, made)
	return made, err
}

// Tree unpacks the tarball into a directory, which must not be there.
func Tree(ctx context.Context, dir string, log io.Writer) error {
	tarball, err := Tarball(ctx, log)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking the guest's tree: %w", err)
	}
	_, err = machinetest.Run(ctx, "tar", "--zstd", "--numeric-owner", "-xpf", tarball, "-C", dir)
	return err
}

// Image is what a guest boots from: a kernel, its initrd, and an ext4 without a partition table.
type Image struct {
	Kernel, Initrd, Root string

	dir string
}

// MakeImage makes an image in dir.
func MakeImage(ctx context.Context, dir string, log io.Writer) (*Image, error) {
	tree := filepath.Join(dir, "tree")
	defer os.RemoveAll(tree)
	if err := Tree(ctx, tree, log); err != nil {
		return nil, err
	}
	return ImageOf(ctx, dir, tree)
}

// ImageOf makes an image in dir of a tree, as a test has changed it.
func ImageOf(ctx context.Context, dir, tree string) (*Image, error) {
	i := &Image{Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"),
		Root: filepath.Join(dir, "root.img"), dir: dir}
	for from, to := range map[string]string{"vmlinuz": i.Kernel, "initrd.img": i.Initrd} {
		if _, err := machinetest.Run(ctx, "cp", "-L", filepath.Join(tree, from), to); err != nil {
			return nil, err
		}
	}
	if _, err := machinetest.Run(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", tree, i.Root,
		"1536M"); err != nil {
		return nil, err
	}
	return i, nil
}

// Overlay returns a disk of size bytes that begins with the image's root and takes what the guest writes. Before that,
// commands of debugfs change the root in a copy.
func (i *Image) Overlay(ctx context.Context, name string, size int64, commands ...string) (string, error) {
	base := i.Root
	if len(commands) > 0 {
		base = filepath.Join(i.dir, name+".base")
		if _, err := machinetest.Run(ctx, "cp", "--sparse=always", i.Root, base); err != nil {
			return "", err
		}
		for _, c := range commands {
			// Its exit code is 0 whatever happens: what failed is told behind the line with its version.
			out, err := machinetest.Run(ctx, "sh", "-c", `debugfs -w -R "$0" "$1" 2>&1`, c, base)
			_, said, _ := strings.Cut(out, "\n")
			if said = strings.TrimSpace(said); err == nil && said != "" {
				err = fmt.Errorf("changing the root by debugfs %q: %s", c, said)
			}
			if err != nil {
				return "", err
			}
		}
	}
	disk := filepath.Join(i.dir, name+".qcow2")
	_, err := machinetest.Run(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base,
		"-F", "raw", disk, fmt.Sprint(size))
	return disk, err
}
