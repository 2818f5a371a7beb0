package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"griddle/initramfs"
	"griddle/initramfs/bootloader"

	"github.com/u-root/u-root/pkg/cpio"
)

// build makes everything. Files appear in the output directory complete or not at all.
func (b *builder) build(ctx context.Context) error {
	k, err := b.kernel(ctx)
	if err != nil {
		return err
	}
	base, err := b.base(k)
	if err != nil {
		return err
	}
	commands, err := b.coreCommands(ctx)
	if err != nil {
		return err
	}
	agent, err := b.agent(ctx, k)
	if err != nil {
		return err
	}
	var image []byte
	for _, part := range []struct {
		name string
		cpio []byte
	}{{"kernel modules, firmware and tools", base}, {"core commands", commands}, {"agent", agent}} {
		z, err := b.compress(ctx, part.name, part.cpio)
		if err != nil {
			return err
		}
		b.printf("%s: %.1f MB, compressed %.2f MB", part.name, float64(len(part.cpio))/1e6, float64(len(z))/1e6)
		image = append(image, z...)
		image = append(image, make([]byte, -len(image)&3)...)
	}
	vmlinuz, err := os.ReadFile(k.vmlinuz)
	if err != nil {
		return fmt.Errorf("reading the kernel: %w", err)
	}
	total := len(vmlinuz) + len(image)
	b.printf("kernel %d + initramfs %d = %d bytes, %d below the limit", len(vmlinuz), len(image), total, initramfs.MaxSize-total)
	if total > initramfs.MaxSize {
		return fmt.Errorf("kernel and initramfs are %d bytes, at most %d are allowed: take modules out of initramfs.DefaultChoice", total, initramfs.MaxSize)
	}
	for name, data := range map[string][]byte{"vmlinuz": vmlinuz, "initramfs": image} {
		if err := replace(filepath.Join(b.out, name), data); err != nil {
			return err
		}
	}
	return b.loaders()
}

// loaders copies the network loaders of Debian's ipxe package.
func (b *builder) loaders() error {
	for _, name := range []string{"undionly.kpxe", "snponly.efi", "ipxe.efi"} {
		data, err := os.ReadFile(filepath.Join("/usr/lib/ipxe", name))
		if err != nil {
			return fmt.Errorf("copying the network loaders: %w (package ipxe; run make deps)", err)
		}
		if err := replace(filepath.Join(b.out, name), data); err != nil {
			return err
		}
	}
	return nil
}

// agent is the archive that changes most often: the agent itself, GRUB's images, and when this was built.
func (b *builder) agent(ctx context.Context, k *kernel) ([]byte, error) {
	bin := filepath.Join(b.cache, "griddle-agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", bin, "./initramfs/griddle-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	built, err := b.version(ctx, k)
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(built)
	if err != nil {
		return nil, fmt.Errorf("writing the build document: %w", err)
	}
	records := []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.Directory("proc", 0o555), cpio.Directory("sys", 0o555), cpio.Directory("run", 0o755), cpio.Directory("tmp", 0o1777),
		cpio.Directory("mnt", 0o755), cpio.Directory("root", 0o700), cpio.Directory("var", 0o755), cpio.Directory("bin", 0o755),
		cpio.Symlink("init", "/"+initramfs.AgentPath),
		cpio.Symlink("sbin/modprobe", "/"+initramfs.AgentPath),
		cpio.Symlink("bin/sh", "bash"),
		cpio.StaticFile("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644),
		cpio.StaticFile("etc/group", "root:x:0:\n", 0o644),
		cpio.StaticFile(initramfs.BuildPath, string(doc)+"\n", 0o644),
	}
	if records, err = appendFile(records, initramfs.AgentPath, bin); err != nil {
		return nil, err
	}
	grub := filepath.Join(b.out, "grub")
	if err := bootloader.BuildGRUB(ctx, grub, bootloader.BuildOptions{}); err != nil {
		return nil, fmt.Errorf("building GRUB: %w", err)
	}
	for _, name := range []string{bootloader.BootImage, bootloader.CoreImage, bootloader.EFIImage} {
		if records, err = appendFile(records, initramfs.GRUBPath+"/"+name, filepath.Join(grub, name)); err != nil {
			return nil, err
		}
	}
	return archive(records)
}

// version is the commit that is built, or where this is no clone the kernel's date.
func (b *builder) version(ctx context.Context, k *kernel) (initramfs.Build, error) {
	info, err := os.Stat(k.vmlinuz)
	if err != nil {
		return initramfs.Build{}, fmt.Errorf("reading the kernel: %w", err)
	}
	build := initramfs.Build{Version: "unknown", Time: info.ModTime().Unix(), Kernel: k.release}
	out, err := exec.CommandContext(ctx, "git", "-C", b.module, "log", "-1", "--format=%ct %h").Output()
	if seconds, commit, ok := strings.Cut(strings.TrimSpace(string(out)), " "); err == nil && ok {
		if t, err := strconv.ParseInt(seconds, 10, 64); err == nil {
			build.Time = max(build.Time, t)
		}
		build.Version = commit
	}
	build.Version += " of " + time.Unix(build.Time, 0).UTC().Format(time.DateOnly)
	return build, nil
}
