package divide

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

// linux attaches a disk with an EFI system partition and a filesystem with files: its last partition, number 2.
func (m *machine) linux(kind string) (dev string, files map[string]string) {
	m.t.Helper()
	dev = m.blank("S1", 900*mib, 512)
	disktest.Tool(m.t, "sgdisk", "-n", "1:1M:+100M", "-t", "1:ef00", "-n", "2:101M:+700M", "-t", "2:8300", "-n",
		"3:802M:+20M", "-t", "3:8300", dev)
	disktest.Tool(m.t, "partx", "--update", dev)
	disktest.Tool(m.t, "mkfs.vfat", "-F", "32", "-s", "1", dev+"p1")
	noise(m.t, dev+"p3", 4*mib, mib)
	args := []string{"-q", "-L", "old"}
	if kind != "btrfs" {
		args = append(args, "-F")
	}
	disktest.Tool(m.t, "mkfs."+kind, append(args, dev+"p2")...)
	m.mounted(dev+"p2", func(dir string) {
		disktest.Tool(m.t, "sh", "-c", `cd "$1" && for d in a b c d; do mkdir $d; for i in $(seq 20); do
			head -c $((i*i*300)) /dev/urandom >$d/$i; done; fallocate -l 120M filler$d; done; sync`, "sh", dir)
		disktest.Tool(m.t, "sh", "-c", `cd "$1" && for d in e f; do mkdir $d; for i in $(seq 20); do
			head -c $((i*i*3000)) /dev/urandom >$d/$i; done; done; sync; rm filler*`, "sh", dir)
	})
	return dev, m.tree(dev + "p2")
}

func (m *machine) mounted(node string, do func(dir string), options ...string) {
	m.t.Helper()
	dir := m.t.TempDir()
	disktest.Tool(m.t, "mount", append(options, node, dir)...)
	defer disktest.Tool(m.t, "umount", dir)
	do(dir)
}

// tree are the files of a filesystem, each with a hash of its content.
func (m *machine) tree(node string) map[string]string {
	m.t.Helper()
	files := map[string]string{}
	m.mounted(node, func(dir string) {
		out := disktest.Tool(m.t, "sh", "-c", `cd "$1" && find . -type f -exec sha256sum {} +`, "sh", dir)
		for line := range strings.Lines(out) {
			sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			files[name] = sum
		}
	}, "-o", "ro")
	return files
}

// TestShrinkLinux makes room beside each filesystem of Linux.
func TestShrinkLinux(t *testing.T) {
	for _, kind := range []string{"ext4", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			m := &machine{t: t}
			dev, files := m.linux(kind)
			p := m.plan(beside(2, 400*mib))
			before := sums(t, dev, staying(p)...)
			m.must(p, &book{})
			same(t, before, sums(t, dev, staying(p)...))
			if now := m.tree(dev + "p2"); !maps.Equal(now, files) {
				t.Errorf("there were %d files, and there are %d, or others", len(files), len(now))
			}
			var n int64
			_, _ = fmt.Sscan(disktest.Tool(t, "blockdev", "--getsize64", dev+"p2"), &n)
			f, err := os.Open(dev + "p2")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if size, err := sizeOf(f, kind); err != nil || size > n || n != 400*mib {
				t.Errorf("the filesystem has %d bytes in %d, %v", size, n, err)
			}
		})
	}
}
