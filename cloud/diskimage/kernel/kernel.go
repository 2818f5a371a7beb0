// Package kernel puts a kernel into an image that has none: the kernel, its modules and a small
// initrd that finds the root.
//
// Call Unpack with a Debian package, Kernel.Open and Opened.Files with the kind of root filesystem. The same package
// and busybox give the same bytes. Shrink removes kernels that were not used lately.
//
// Sources: modules.dep(5); Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
package kernel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"griddle/cloud/diskimage/tree"
)

// Kernel is what is put into an image that has none: a kernel package, unpacked (dpkg-deb -x), with the tables that
// depmod makes, and a static busybox for the initrd.
type Kernel struct {
	Dir     string // holds boot/vmlinuz-RELEASE and lib/modules/RELEASE
	Busybox string // "" means /bin/busybox (Debian package busybox-static)
}

// maxKernel bounds the kernel and busybox, in bytes.
const maxKernel = 128 << 20

// Opened is a Kernel whose files were found and read.
type Opened struct {
	Release string
	image   []byte
	modules string // the directory
	busybox []byte
	Digest  string
}

// Open reads the kernel. It returns nil for nil.
func (k *Kernel) Open() (*Opened, error) {
	if k == nil {
		return nil, nil
	}
	release, err := kernelRelease(k.Dir)
	if err != nil {
		return nil, err
	}
	u := &Opened{Release: release, modules: filepath.Join(k.Dir, "lib", "modules", release)}
	if u.image, err = readBounded(filepath.Join(k.Dir, "boot", "vmlinuz-"+release), maxKernel); err != nil {
		return nil, fmt.Errorf("reading the kernel: %w", err)
	}
	dep, err := readBounded(filepath.Join(u.modules, "modules.dep"), maxKernel)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's modules: %w (depmod -b DIR RELEASE makes it)", err)
	}
	box := k.Busybox
	if box == "" {
		box = "/bin/busybox"
	}
	u.busybox, err = readBounded(box, maxKernel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading busybox for the initrd: %w (Debian package busybox-static)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading busybox for the initrd: %w", err)
	}
	h := sha256.New()
	for _, b := range [][]byte{[]byte(u.Release), u.image, dep, u.busybox} {
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	u.Digest = fmt.Sprintf("sha256:%x", h.Sum(nil))
	return u, nil
}

// kernelRelease is the RELEASE of the one boot/vmlinuz-RELEASE below dir.
func kernelRelease(dir string) (string, error) {
	all, err := os.ReadDir(filepath.Join(dir, "boot"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("looking for a kernel: %w", err)
	}
	var found []string
	for _, e := range all {
		if release, ok := strings.CutPrefix(e.Name(), "vmlinuz-"); ok {
			found = append(found, release)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("looking for a kernel below %s: found %d of boot/vmlinuz-*, not one", dir, len(found))
	}
	return found[0], nil
}

// Files returns the kernel, its modules and an initrd for a root filesystem ("ext4" or "btrfs"), as they
// are added to an image.
func (u *Opened) Files(root string) ([]tree.File, error) {
	var files []tree.File
	err := filepath.WalkDir(u.modules, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(u.modules, p)
		if err != nil {
			return err
		}
		f := tree.File{Path: path.Join("/lib/modules", u.Release, rel), Mode: 0o644}
		switch {
		case d.IsDir():
			f.Dir, f.Mode = true, 0o755
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			f.Local, f.Size = p, info.Size()
		default: // links to where it was compiled
			return nil
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's modules: %w", err)
	}
	initrd, err := u.initrd(root)
	if err != nil {
		return nil, err
	}
	return append(files,
		tree.File{Path: "/boot/vmlinuz-" + u.Release, Mode: 0o644, Content: u.image},
		tree.File{Path: "/boot/initrd.img-" + u.Release, Mode: 0o600, Content: initrd},
	), nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b, err
}

// drivers are the modules by which a virtual machine's root is reached: those of QEMU, Xen (EC2), NVMe (EC2), Hyper-V
// and VMware. A kernel may have some built in, and lack others.
func drivers(root string) []string {
	d := []string{
		"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "nvme", "xen_blkfront", "hv_vmbus", "hv_storvsc",
		"vmw_pvscsi", "mptspi", "ahci", "ata_piix", "sd_mod", "crc32c_generic", "crc32c_intel",
	}
	if root == "btrfs" {
		return append(d, "xxhash_generic", "blake2b_generic", "btrfs")
	}
	return append(d, "ext4")
}

// chosen returns the paths below the modules' directory of the named modules and of all that they need, what is needed
// first; modules.dep(5) lists that behind each, the first needed last.
func chosen(dep string, names []string) (order []string) {
	needs, byName := map[string][]string{}, map[string]string{}
	for line := range strings.Lines(dep) {
		p, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		needs[p] = strings.Fields(rest)
		name, _, _ := strings.Cut(path.Base(p), ".")
		byName[strings.ReplaceAll(name, "-", "_")] = p
	}
	for _, n := range names {
		p, ok := byName[n]
		if !ok {
			continue
		}
		all := append([]string{p}, needs[p]...)
		slices.Reverse(all)
		for _, m := range all {
			if !slices.Contains(order, m) {
				order = append(order, m)
			}
		}
	}
	return order
}
