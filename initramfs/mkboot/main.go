// Mkboot builds the boot image: build/boot/vmlinuz, build/boot/initramfs, the keymaps, GRUB's images, the network
// loaders, firstroot, of which `griddle publish kernel` makes initrds, and the tools archive, tools/SHA256.cpio.zst,
// which the image names. The archives of the last builds stay, for machines that run an earlier image.
//
//	go run ./initramfs/mkboot -o build/boot
//
// Kernel, modules, firmware and the tools come from Debian's packages. Mkboot downloads and unpacks them and installs
// nothing.
// u-root's own builder makes the commands of the rescue shell. Results that take long (packages, u-root's commands,
// compression) are kept in ${XDG_CACHE_HOME:-~/.cache}/griddle, each under a digest of its inputs. Equal inputs give
// equal bytes; -verify proves it. Several builds wait for each other. The build fails if kernel and initramfs exceed
// initramfs.MaxSize, or the tools archive initramfs.MaxTools.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"griddle/initramfs"
	"griddle/initramfs/debian"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("mkboot", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "build/boot", "`directory` to fill")
	refresh := flags.Bool("refresh", false, "look for newer Debian packages even if those in the cache are recent")
	verify := flags.Bool("verify", false,
		"make everything a second time, without the caches, and fail if the bytes differ")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	begin := time.Now()
	b, err := newBuilder(*out, *refresh, stderr)
	if err == nil {
		err = b.build(ctx, *verify)
	}
	if err != nil {
		fmt.Fprintf(stderr, "mkboot: %v\n", err)
		return 1
	}
	fmt.Fprintf(stderr, "mkboot: done in %s\n", time.Since(begin).Round(100*time.Millisecond))
	return 0
}

// builder holds where things are.
type builder struct {
	module string // the root of this repository
	out    string
	cache  string
	fresh  bool
	verify bool            // make again what is cached, and compare
	env    []string        // added to the environment of the Go tool
	built  initramfs.Build // what the first image that it made says of itself
	mirror *debian.Mirror  // nil until something is downloaded
	log    io.Writer
}

func newBuilder(out string, refresh bool, log io.Writer) (*builder, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(wd, coreCommandsFile)); err != nil {
		return nil, fmt.Errorf("run it from the root of the repository: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the cache directory: %w", err)
	}
	b := &builder{module: wd, out: out, cache: filepath.Join(cache, "griddle", "boot"), fresh: refresh, log: log}
	for _, dir := range []string{b.out, b.cache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making directories: %w", err)
		}
	}
	return b, nil
}

func (b *builder) printf(format string, args ...any) {
	fmt.Fprintf(b.log, "mkboot: "+format+"\n", args...)
}
