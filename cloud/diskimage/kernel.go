package diskimage

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
)

// Kernel is what is put into an image that has none: a kernel package, unpacked (dpkg-deb -x), with the tables that depmod
// makes, and a static busybox for the initrd.
type Kernel struct {
	Dir     string // holds boot/vmlinuz-RELEASE and lib/modules/RELEASE
	Busybox string // "" means /bin/busybox (Debian package busybox-static)
}

// maxKernel bounds the kernel and busybox, in bytes.
const maxKernel = 128 << 20

// unpacked is a Kernel that was looked at.
type unpacked struct {
	release string
	image   []byte
	modules string // the directory
	busybox []byte
	digest  string
}

func (k *Kernel) open() (*unpacked, error) {
	if k == nil {
		return nil, nil
	}
	release, err := kernelRelease(k.Dir)
	if err != nil {
		return nil, err
	}
	u := &unpacked{release: release, modules: filepath.Join(k.Dir, "lib", "modules", release)}
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
	for _, b := range [][]byte{[]byte(u.release), u.image, dep, u.busybox} {
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	u.digest = fmt.Sprintf("sha256:%x", h.Sum(nil))
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

// files are the kernel, its modules and an initrd for a root filesystem, as they are laid over an image.
func (u *unpacked) files(root Filesystem) ([]File, error) {
	var files []File
	err := filepath.WalkDir(u.modules, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(u.modules, p)
		if err != nil {
			return err
		}
		f := File{Path: path.Join("/lib/modules", u.release, rel), Mode: 0o644}
		switch {
		case d.IsDir():
			f.Dir, f.Mode = true, 0o755
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			f.from, f.size = p, info.Size()
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
		File{Path: "/boot/vmlinuz-" + u.release, Mode: 0o644, Content: u.image},
		File{Path: "/boot/initrd.img-" + u.release, Mode: 0o600, Content: initrd},
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

// drivers are the modules by which a virtual machine's root is reached: those of QEMU, Xen (EC2), NVMe (EC2), Hyper-V and VMware. A
// kernel may have some built in, and lack others.
func drivers(root Filesystem) []string {
	d := []string{
		"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "nvme", "xen_blkfront", "hv_vmbus", "hv_storvsc", "vmw_pvscsi", "mptspi",
		"ahci", "ata_piix", "sd_mod", "crc32c_generic", "crc32c_intel",
	}
	if root == Btrfs {
		return append(d, "xxhash_generic", "blake2b_generic", "btrfs")
	}
	return append(d, "ext4")
}

// chosen returns the paths below the modules' directory of the named modules and of all that they need, what is needed first;
// modules.dep(5) lists that behind each, the first needed last.
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
