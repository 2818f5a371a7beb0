package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"griddle/initramfs"
	"griddle/initramfs/debian"
)

// kernel is an unpacked kernel with its modules, the tables that depmod makes of them, firmware, and whatever else
// comes from Debian's packages.
type kernel struct {
	packages string // the files that it is made from, one a line
	root     string
	release  string
	vmlinuz  string
	modules  string
	firmware string
}

// recent is how old the list of packages may be before newer ones are looked for.
const recent = 7 * 24 * time.Hour

// kernel downloads and unpacks the packages, or takes what it unpacked before. Where nothing can be downloaded
// an older set is used and said so.
func (b *builder) kernel(ctx context.Context) (*kernel, error) {
	current := filepath.Join(b.cache, "packages-"+digest(strings.Join(wanted(), "\n")))
	info, err := os.Stat(current)
	if err != nil || b.fresh || time.Since(info.ModTime()) > recent {
		if failed := b.download(ctx, current); failed != nil {
			if err != nil {
				return nil, failed
			}
			b.printf("using the packages of %s: %v", info.ModTime().Format(time.DateOnly), failed)
		}
	}
	list, err := os.ReadFile(current)
	if err != nil {
		return nil, fmt.Errorf("reading the list of packages: %w", err)
	}
	root := filepath.Join(b.cache, strings.Fields(string(list))[0])
	k := &kernel{packages: string(list), root: root, firmware: filepath.Join(root, "lib", "firmware")}
	found, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("looking for the kernel below %s: found %d; remove that directory and try again",
			root, len(found))
	}
	k.vmlinuz = found[0]
	k.release = strings.TrimPrefix(filepath.Base(k.vmlinuz), "vmlinuz-")
	k.modules = filepath.Join(root, "lib", "modules", k.release)
	return k, nil
}

// wanted lists the packages beside the kernel.
func wanted() []string { return append(initramfs.FirmwarePackages(), keymapPackages()...) }

// download fetches what wanted and the kernel's metapackage name, unpacks it into a directory of its
// own and writes that directory's name to current.
func (b *builder) download(ctx context.Context, current string) error {
	m, err := debian.Open(ctx, debian.Options{Dir: filepath.Join(b.cache, "apt"), Arch: "amd64",
		Components: []string{"main", "non-free-firmware"}})
	if err != nil {
		return err
	}
	b.printf("looking for Debian's kernel and firmware packages")
	if err := m.Update(ctx); err != nil {
		return err
	}
	kernel, err := m.Kernel(ctx, "linux-image-amd64")
	if err != nil {
		return err
	}
	packages := append(wanted(), kernel)
	found, err := m.Files(ctx, packages...)
	if err != nil {
		return err
	}
	var files []string
	for _, f := range found {
		files = append(files, f.Name)
	}
	name := "root-" + digest(strings.Join(files, "\n"))
	if _, err := os.Stat(filepath.Join(b.cache, name)); err != nil {
		b.printf("downloading %d packages", len(files))
		if err := b.unpack(ctx, m, packages, name); err != nil {
			return err
		}
	}
	return replace(current, []byte(name+"\n"+strings.Join(files, "\n")+"\n"))
}

func (b *builder) unpack(ctx context.Context, m *debian.Mirror, packages []string, name string) error {
	dir, err := os.MkdirTemp(b.cache, "debs-*")
	if err != nil {
		return fmt.Errorf("unpacking packages: %w", err)
	}
	defer os.RemoveAll(dir)
	debs, err := m.Download(ctx, packages...)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	for _, deb := range debs {
		if err := debian.Unpack(ctx, deb, root); err != nil {
			return err
		}
		if err := os.Remove(deb); err != nil {
			return fmt.Errorf("unpacking packages: %w", err)
		}
	}
	releases, err := filepath.Glob(filepath.Join(root, "lib", "modules", "*"))
	if err != nil || len(releases) != 1 {
		return fmt.Errorf("unpacking packages: found modules of %d kernels", len(releases))
	}
	if out, err := exec.CommandContext(ctx, "depmod", "-b", root,
		filepath.Base(releases[0])).CombinedOutput(); err != nil {
		return fmt.Errorf("running depmod: %w (package kmod; run make deps)\n%s", err, out)
	}
	if err := os.Rename(root, filepath.Join(b.cache, name)); err != nil {
		return fmt.Errorf("unpacking packages: %w", err)
	}
	return nil
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16] }
