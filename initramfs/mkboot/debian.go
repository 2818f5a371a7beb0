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

// kernel downloads and unpacks the packages, or takes what it unpacked before.
func (b *builder) kernel(ctx context.Context) (*kernel, error) {
	p, err := b.packages(ctx, set{name: "kernel and firmware", wanted: wanted(),
		all: func(ctx context.Context, m *debian.Mirror) ([]string, error) {
			kernel, err := m.Kernel(ctx, "linux-image-amd64")
			return append(wanted(), kernel), err
		},
		folder: func(string) string { return "" }, finish: depmod})
	if err != nil {
		return nil, err
	}
	k := &kernel{packages: p.list, root: p.root, firmware: filepath.Join(p.root, "lib", "firmware")}
	found, err := filepath.Glob(filepath.Join(p.root, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("looking for the kernel below %s: found %d; remove that directory and try again",
			p.root, len(found))
	}
	k.vmlinuz = found[0]
	k.release = strings.TrimPrefix(filepath.Base(k.vmlinuz), "vmlinuz-")
	k.modules = filepath.Join(p.root, "lib", "modules", k.release)
	return k, nil
}

// wanted lists the packages beside the kernel.
func wanted() []string { return append(initramfs.FirmwarePackages(), keymapPackages()...) }

// depmod makes the tables of the kernel's modules.
func depmod(ctx context.Context, root string) error {
	releases, err := filepath.Glob(filepath.Join(root, "lib", "modules", "*"))
	if err != nil || len(releases) != 1 {
		return fmt.Errorf("unpacking packages: found modules of %d kernels", len(releases))
	}
	if out, err := exec.CommandContext(ctx, "depmod", "-b", root,
		filepath.Base(releases[0])).CombinedOutput(); err != nil {
		return fmt.Errorf("running depmod: %w (package kmod; run make deps)\n%s", err, out)
	}
	return nil
}

// set is some of Debian's packages, which are unpacked together.
type set struct {
	name   string                                                        // for people
	wanted []string                                                      // by which the set is found again
	all    func(ctx context.Context, m *debian.Mirror) ([]string, error) // wanted, and what else is needed
	folder func(pkg string) string                                       // of a package, below the set's
	finish func(ctx context.Context, root string) error                  // may be nil
}

// unpacked is a set on disk.
type unpacked struct {
	list string // the files that it is made from, one a line
	root string
}

// packages downloads and unpacks a set, or takes what it unpacked before. Where nothing can be downloaded an older set
// is used and said so.
func (b *builder) packages(ctx context.Context, s set) (*unpacked, error) {
	current := filepath.Join(b.cache, "packages-"+digest(strings.Join(s.wanted, "\n")))
	info, err := os.Stat(current)
	if err != nil || b.fresh || time.Since(info.ModTime()) > recent {
		if failed := b.download(ctx, s, current); failed != nil {
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
	return &unpacked{list: string(list), root: filepath.Join(b.cache, strings.Fields(string(list))[0])}, nil
}

// download fetches a set, unpacks it into a directory of its own and writes that directory's name to current.
func (b *builder) download(ctx context.Context, s set, current string) error {
	if b.mirror == nil {
		m, err := debian.Open(ctx, debian.Options{Dir: filepath.Join(b.cache, "apt"), Arch: "amd64",
			Components: []string{"main", "non-free-firmware"}})
		if err != nil {
			return err
		}
		b.printf("looking for Debian's packages")
		if err := m.Update(ctx); err != nil {
			return err
		}
		b.mirror = m
	}
	packages, err := s.all(ctx, b.mirror)
	if err != nil {
		return err
	}
	found, err := b.mirror.Files(ctx, packages...)
	if err != nil {
		return err
	}
	var files []string
	for _, f := range found {
		files = append(files, f.Name)
	}
	name := "root-" + digest(strings.Join(files, "\n"))
	if _, err := os.Stat(filepath.Join(b.cache, name)); err != nil {
		b.printf("downloading %d packages: %s", len(files), s.name)
		if err := b.unpack(ctx, s, packages, name); err != nil {
			return err
		}
	}
	return replace(current, []byte(name+"\n"+strings.Join(files, "\n")+"\n"))
}

func (b *builder) unpack(ctx context.Context, s set, packages []string, name string) error {
	dir, err := os.MkdirTemp(b.cache, "debs-*")
	if err != nil {
		return fmt.Errorf("unpacking packages: %w", err)
	}
	defer os.RemoveAll(dir)
	debs, err := b.mirror.Download(ctx, packages...)
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	for _, deb := range debs {
		pkg, _, _ := strings.Cut(filepath.Base(deb), "_")
		to := filepath.Join(root, s.folder(pkg))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return fmt.Errorf("unpacking packages: %w", err)
		}
		if err := debian.Unpack(ctx, deb, to); err != nil {
			return err
		}
		if err := os.Remove(deb); err != nil {
			return fmt.Errorf("unpacking packages: %w", err)
		}
	}
	if s.finish != nil {
		if err := s.finish(ctx, root); err != nil {
			return err
		}
	}
	if err := os.Rename(root, filepath.Join(b.cache, name)); err != nil {
		return fmt.Errorf("unpacking packages: %w", err)
	}
	return nil
}

func digest(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16] }
