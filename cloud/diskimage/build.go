package diskimage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"griddle/cloud/diskimage/btrfs"
	"griddle/cloud/diskimage/kernel"
	"griddle/cloud/diskimage/program"
	"griddle/cloud/diskimage/tree"
	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"
)

// pieces is how much of an archive is moved at once, in bytes.
const pieces = 256 << 10

// ErrNoKernel is wrapped where an image has no kernel, and Cache.Kernel gives none.
var ErrNoKernel = errors.New("the image has no kernel (/vmlinuz or /boot/vmlinuz-*), and no other kernel is configured")

// build makes one disk below work, an empty directory of its own.
type build struct {
	c     *Cache
	s     spec
	image Image
	u     *kernel.Opened // nil: none to put in
	work  string
	p     program.Runner
	full  bool // btrfs gets files with their zeros, and whole seconds
}

// file makes the file that the spec gives and returns what it is; it is synced.
func (b *build) file(ctx context.Context) (Disk, error) {
	d := Disk{Key: b.s.key(), Ref: b.image.Ref, Image: b.image.Digest, Format: b.s.Format,
		Path: filepath.Join(b.work, fileName(b.s.Format))}
	if b.s.Format == Tree {
		return d, b.tree(ctx, d.Path)
	}
	// The disk inside is the same in each format: one that is there is only converted.
	rawSpec := b.s
	rawSpec.Format = Raw
	if have, err := b.c.find(rawSpec.key()); err == nil && b.s.Format != Raw {
		d.Virtual, d.BIOS, d.UEFI, d.Kernel, d.Grows = have.Virtual, true, true, have.Kernel, have.Grows
		return d, b.convert(ctx, have.Path, d.Path)
	}
	raw := filepath.Join(b.work, fileName(Raw))
	if err := b.disk(ctx, raw, &d); err != nil {
		return Disk{}, err
	}
	if b.s.Format == Raw {
		return d, syncFile(raw)
	}
	if err := b.convert(ctx, raw, d.Path); err != nil {
		return Disk{}, err
	}
	return d, os.Remove(raw)
}

// tree writes the image's archive with the files over it.
func (b *build) tree(ctx context.Context, name string) error {
	b.c.step("writing the tree")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	v := tree.NewCopier(f, tree.Rules{DropDevices: b.s.DropDevices}, b.s.Files)
	err = b.copyImage(ctx, v, true)
	if err == nil {
		err = v.Close()
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// copyImage copies the image through v and adds the files.
func (b *build) copyImage(ctx context.Context, v *tree.Copier, keepFstab bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := b.image.Tar(ctx, w, b.c.Bytes)
		w.CloseWithError(err)
		done <- err
	}()
	err := v.Copy(bufio.NewReaderSize(r, pieces), keepFstab)
	r.CloseWithError(err) // the writer ends, whatever it is at
	if failed := <-done; failed != nil && (err == nil || errors.Is(err, failed)) {
		return fmt.Errorf("reading the image: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("reading the image: %w", err)
	}
	return v.Lay(nil)
}

// disk makes the raw disk.
func (b *build) disk(ctx context.Context, raw string, d *Disk) error {
	err := b.diskOnce(ctx, raw, d)
	if errors.Is(err, btrfs.ErrLayout) && !b.full {
		// Another version of mkfs.btrfs. The disk is as good, only larger.
		b.c.warn("files with holes are full on this disk, and times are whole seconds: %v", err)
		b.full = true
		if err = b.p.RemoveTree(ctx, filepath.Join(b.work, "tree")); err == nil {
			err = b.diskOnce(ctx, raw, d)
		}
	}
	return err
}

func (b *build) diskOnce(ctx context.Context, raw string, d *Disk) error {
	dir := filepath.Join(b.work, "tree")
	b.c.step("unpacking the image")
	f, err := b.unpack(ctx, dir, d)
	if err != nil {
		return err
	}
	size, err := sizes(f, b.s.Size)
	if err != nil {
		return err
	}
	d.Virtual, d.BIOS, d.UEFI = size, true, true
	b.p.Now = min(max(f.Newest.Unix(), 0), math.MaxInt32) // the tools' clocks have 31 bits
	grub := b.c.GRUB
	if grub == nil {
		at := filepath.Join(b.work, "grub")
		if err := bootloader.BuildGRUB(ctx, at, bootloader.BuildOptions{}); err != nil {
			return err
		}
		grub = os.DirFS(at)
	}
	out, err := os.OpenFile(raw, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(size); err != nil {
		return fmt.Errorf("making the disk: %w", err)
	}
	if err := writeTable(out, size, b.s); err != nil {
		return err
	}
	b.c.step("making the root filesystem")
	if b.s.Filesystem == Btrfs {
		err = makeBtrfs(ctx, b.p, out, dir, rootSize(size), b.s, f)
	} else {
		err = b.ext4(ctx, raw, dir, rootSize(size), f)
	}
	if err != nil {
		return fmt.Errorf("making the root filesystem: %w", err)
	}
	if err := b.p.RemoveTree(ctx, dir); err != nil {
		return err
	}
	b.c.step("installing GRUB")
	if err := makeESP(ctx, b.p, raw, grub, b.s); err != nil {
		return fmt.Errorf("making the EFI system partition: %w", err)
	}
	if err := bootloader.InstallBIOS(out, grub, biosExtent(), sector); err != nil {
		return err
	}
	return out.Close()
}

// unpack makes the tree of the disk below dir.
func (b *build) unpack(ctx context.Context, dir string, d *Disk) (tree.Summary, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return tree.Summary{}, err
	}
	// A pipe of the kernel's, in large pieces: with one more copy of each byte this would be the slowest part.
	r, w, err := os.Pipe()
	if err != nil {
		return tree.Summary{}, err
	}
	defer w.Close()
	done := make(chan error, 1)
	go func() {
		err := b.p.Run(ctx, program.Call{Inside: true, Stdin: r}, "tar", "-x", "-C", dir, "--same-owner",
			"--same-permissions", "--numeric-owner",
			"--xattrs", "--xattrs-include=*", "--delay-directory-restore", "-f", "-")
		r.Close() // if it ended early, the writer is to hear of it
		done <- err
	}()
	to := bufio.NewWriterSize(w, pieces)
	v := tree.NewCopier(to,
		tree.Rules{Mapped: b.p.Mapped, DropDevices: b.s.DropDevices, Solid: b.s.Filesystem == Btrfs}, b.s.Files)
	if !b.full {
		done, err := v.Sparse(b.work, b.s.Filesystem == Btrfs)
		if err != nil {
			return tree.Summary{}, err
		}
		defer done()
	}
	if err = b.writeTree(ctx, v, d); err == nil {
		err = to.Flush()
	}
	w.Close()
	failed := <-done
	if errors.Is(err, syscall.EPIPE) {
		err = nil // tar says why; nothing, where only padding was left
	}
	if err == nil && failed != nil {
		err = fmt.Errorf("unpacking the image: %w", failed)
	}
	return v.Found, err
}

// writeTree writes the tree of a disk: the image, what was asked for over it, and what makes it boot.
func (b *build) writeTree(ctx context.Context, v *tree.Copier, d *Disk) error {
	if err := b.copyImage(ctx, v, false); err != nil {
		return err
	}
	files := bootFiles(v.Found, b.s)
	switch {
	case v.Found.Kernel:
		d.Kernel = "image"
	case b.u == nil:
		return ErrNoKernel
	default:
		more, err := b.u.Files(string(b.s.Filesystem))
		if err != nil {
			return err
		}
		files, d.Kernel = append(files, more...), b.u.Release
	}
	switch {
	case growsBySystemd(v.Found):
		d.Grows = "systemd"
	case v.Found.CloudInit:
		d.Grows = "cloud-init"
	}
	if err := v.Lay(files); err != nil {
		return err
	}
	return v.Close()
}

// convert writes a raw disk in another format.
func (b *build) convert(ctx context.Context, raw, to string) error {
	b.c.step("converting the disk to " + string(b.s.Format))
	var how []string
	switch b.s.Format {
	case QCOW2:
		how = []string{"-O", "qcow2", "-c", "-o", "compression_type=zlib"}
	case VHD:
		how = []string{"-O", "vpc", "-o", "subformat=fixed,force_size=on"}
	case VMDK:
		how = []string{"-O", "vmdk", "-o", "subformat=streamOptimized"}
	}
	st, err := os.Stat(raw)
	if err != nil {
		return err
	}
	// In order of the disk, as it is by default: the same disk gives the same file.
	if err := b.p.Run(ctx, program.Call{Stdout: &converted{size: st.Size(), progress: b.c.Bytes}},
		"qemu-img", append(append([]string{"convert", "-p", "-f", "raw"}, how...), raw, to)...); err != nil {
		return err
	}
	if b.s.Format == VHD {
		if err := settleFooter(to, b.s); err != nil {
			return err
		}
	}
	return syncFile(to)
}

func syncFile(name string) error {
	f, err := durable.Disk{}.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func fileName(f Format) string {
	if f == Tree {
		return "tree.tar"
	}
	return "disk." + string(f)
}
