package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/durable"
	"griddle/initramfs/debian"
	"griddle/initramfs/kernel/tree"
)

// kernelPackage is the package that a kernel image is made of.
type kernelPackage struct {
	file   string // NAME_VERSION_ARCH.deb
	sha256 string // 64 hex digits

	deb    string         // its path; "" if it has to be downloaded
	mirror *debian.Mirror // that has it; nil for a file of the user's
}

// name, version and arch are the parts of the file's name. An epoch, which is before a colon, is not part of the
// version: versions of images have no colon.
func (p kernelPackage) name() string { name, _, _ := strings.Cut(p.file, "_"); return name }

func (p kernelPackage) version() string {
	f := strings.Split(p.file, "_")
	if len(f) != 3 {
		return ""
	}
	version := strings.ReplaceAll(f[1], "%3a", ":")
	return version[strings.Index(version, ":")+1:]
}

func (p kernelPackage) arch() string {
	return strings.TrimSuffix(p.file[strings.LastIndex(p.file, "_")+1:], ".deb")
}

// find finds the package of the kernel. dir is for the lists of the mirrors.
func (k *kernelPublisher) find(ctx context.Context, dir string) (kernelPackage, error) {
	var found kernelPackage
	var err error
	if k.deb != "" {
		found, err = localPackage(ctx, k.deb)
	} else {
		found, err = k.findOnMirror(ctx, dir)
	}
	if err != nil {
		return kernelPackage{}, err
	}
	if found.arch() != kernelArch {
		return kernelPackage{}, fmt.Errorf("making a kernel image of %s: its architecture is %q, and only %s is "+
			"supported", found.file, found.arch(), kernelArch)
	}
	return found, nil
}

// localPackage reads what a package file says of itself.
func localPackage(ctx context.Context, deb string) (kernelPackage, error) {
	p, err := tree.Read(ctx, deb)
	if err != nil {
		return kernelPackage{}, err
	}
	f, err := os.Open(deb)
	if err != nil {
		return kernelPackage{}, fmt.Errorf("reading the package: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return kernelPackage{}, fmt.Errorf("reading the package: %w", err)
	}
	return kernelPackage{file: fmt.Sprintf("%s_%s_%s.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"), p.Arch),
		sha256: fmt.Sprintf("%x", h.Sum(nil)), deb: deb}, nil
}

// findOnMirror asks the mirrors for their newest package.
func (k *kernelPublisher) findOnMirror(ctx context.Context, dir string) (kernelPackage, error) {
	lists := filepath.Join(dir, "apt")
	if k.suite != "" {
		lists += "-" + filepath.Base(k.suite)
	}
	m, err := debian.Open(ctx, debian.Options{Dir: lists, Suite: k.suite, Arch: kernelArch,
		Components: []string{"main"}})
	if err != nil {
		return kernelPackage{}, err
	}
	k.env.Say("looking for the newest " + k.pkg)
	if err := m.Update(ctx); err != nil {
		return kernelPackage{}, err
	}
	name, err := m.Kernel(ctx, k.pkg)
	if err != nil {
		return kernelPackage{}, err
	}
	files, err := m.Files(ctx, name)
	if err != nil {
		return kernelPackage{}, err
	}
	if len(files) != 1 {
		return kernelPackage{}, fmt.Errorf("looking for %s: the mirrors have %d files of it, not one", name, len(files))
	}
	return kernelPackage{file: files[0].Name, sha256: files[0].SHA256, mirror: m}, nil
}

// make makes the tree of a kernel image at dir and returns the kernel's release.
func (k *kernelPublisher) make(ctx context.Context, from kernelPackage, program []byte, dir string) (string, error) {
	if from.deb == "" {
		k.env.Say("downloading " + from.file)
		debs, err := from.mirror.Download(ctx, from.name())
		if err != nil {
			return "", err
		}
		from.deb = debs[0]
		defer os.Remove(from.deb)
	}
	k.env.Say("unpacking " + from.file + " and making an initrd")
	return tree.Make(ctx, from.deb, program, dir)
}

// kernelWorkDir is the directory where kernels are made, for this process alone. done empties it, except for the lists
// of the mirrors.
func kernelWorkDir(ctx context.Context, e *cli.Env) (dir string, done func(), err error) {
	cache, err := cli.HomeDir(e, "XDG_CACHE_HOME", ".cache")
	if err != nil {
		return "", nil, err
	}
	if cache == "" {
		cache = "/var/cache"
	}
	dir = filepath.Join(cache, "griddle", "publish-kernel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("making a directory for the kernel: %w", err)
	}
	unlock, err := durable.Disk{}.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, fmt.Errorf("waiting for another publication of a kernel: %w", err)
	}
	clear := func() error {
		return errors.Join(os.RemoveAll(filepath.Join(dir, "tree")), os.RemoveAll(filepath.Join(dir, "tree.unpacked")))
	}
	if err := clear(); err != nil {
		unlock()
		return "", nil, fmt.Errorf("removing what an earlier run left: %w", err)
	}
	return dir, func() { _ = clear(); unlock() }, nil
}
