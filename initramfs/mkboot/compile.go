package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"griddle/initramfs"
)

// compile makes a static program of a package of this repository, the same bytes each time.
func (b *builder) compile(ctx context.Context, to, from, ldflags string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid= "+ldflags,
		"-o", to, from)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	cmd.Env = append(cmd.Env, b.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", from, err, out)
	}
	return nil
}

// firstRoot is /init of the small initrd of kernel images, which `griddle publish kernel` makes. The boot image does
// not have it.
func (b *builder) firstRoot(ctx context.Context) ([]byte, error) {
	bin := filepath.Join(b.cache, initramfs.FirstRoot)
	if err := b.compile(ctx, bin, "./initramfs/firstroot", ""); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", initramfs.FirstRoot, err)
	}
	return data, nil
}
