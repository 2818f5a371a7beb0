package resize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/mounttest"
	"griddle/initramfs/umltest/fattest"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// The sizes of the filesystems of tests, and what they are shrunk to: data lies behind that.
const (
	from = 700 * mib
	to   = 400 * mib
)

// TestMain keeps the disks of tests in memory.
func TestMain(m *testing.M) {
	if fattest.Inside() {
		os.Exit(m.Run())
	}
	mounttest.Own()
	dir, err := os.MkdirTemp("", "resize-*")
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "")
	}
	if err = errors.Join(err, os.Setenv("TMPDIR", dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(unix.Unmount(dir, 0), os.Remove(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// made makes a filesystem with files at its end, and returns a loop device with it, and the files.
func made(t *testing.T, kind string, options ...string) (node string, files map[string]string) {
	t.Helper()
	node = disktest.Loop(t, from, 512)
	args := append([]string{"-q"}, options...)
	if kind != "btrfs" {
		args = append(args, "-F")
	}
	// A btrfs is filled while it is small, and then grows: the kernel may put new data anywhere in what is free.
	if kind == "btrfs" {
		args = append(args, "--byte-count", fmt.Sprint(to))
	}
	disktest.Tool(t, "mkfs."+kind, append(args, node)...)
	mounted(t, node, func(dir string) {
		disktest.Tool(t, "sh", "-c", `cd "$1" && for d in a b c d; do mkdir $d; for i in $(seq 20); do
			head -c $((i*i*300)) /dev/urandom >$d/$i; done; done; sync
			if [ $2 = btrfs ]; then
				for i in $(seq 100); do fallocate -l 4M filler$i || break; done; sync; btrfs filesystem resize max . >&2
			else for d in a b c d; do fallocate -l 120M filler$d; done; fi; sync`, "sh", dir, kind)
		disktest.Tool(t, "sh", "-c", `cd "$1" && for d in e f; do mkdir $d; for i in $(seq 20); do
			head -c $((i*i*3000)) /dev/urandom >$d/$i; done; done; sync; rm filler*`, "sh", dir)
	})
	return node, tree(t, node)
}

func mounted(t *testing.T, node string, do func(dir string), options ...string) {
	t.Helper()
	dir := t.TempDir()
	disktest.Tool(t, "mount", append(options, node, dir)...)
	defer disktest.Tool(t, "umount", dir)
	do(dir)
}

// tree are the files of a filesystem, each with a hash of its content.
func tree(t *testing.T, node string) map[string]string {
	t.Helper()
	files := map[string]string{}
	mounted(t, node, func(dir string) {
		out := disktest.Tool(t, "sh", "-c", `cd "$1" && find . -type f -exec sha256sum {} +`, "sh", dir)
		for line := range strings.Lines(out) {
			sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			files[name] = sum
		}
	}, "-o", "ro")
	return files
}

// sum is a hash of a device.
func sum(t *testing.T, node string) string {
	t.Helper()
	disktest.Tool(t, "blockdev", "--flushbufs", node)
	return disktest.Tool(t, "cksum", node)
}

// book keeps what a shrink has begun with.
type book struct {
	begun *Begun
	fail  error
}

func (b *book) record(_ context.Context, begun Begun) error {
	b.begun = &begun
	return b.fail
}
