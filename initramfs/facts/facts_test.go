package facts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/mounttest"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own.
func TestMain(m *testing.M) {
	mounttest.Own()
	os.Exit(m.Run())
}

// bench is a disk with one partition.
type bench struct {
	*testing.T
	disk, node string
}

// partition makes a disk whose only partition has size bytes, and has a program make a filesystem in it.
func partition(t *testing.T, size int64, command string) bench {
	t.Helper()
	dev := disktest.Loop(t, size+2*mib, 512)
	disktest.Tool(t, "sgdisk", "-n", fmt.Sprintf("1:2048:+%dK", size/1024), dev)
	_ = exec.Command("partx", "-u", dev).Run() // the kernel may know it already
	node, err := disk.Node(dev, "/sys", 1)
	if err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(command), node)
	disktest.Tool(t, args[0], args[1:]...)
	return bench{t, dev, node}
}

// found is the partition as the disk has it.
func (b bench) found() content.Partition {
	b.Helper()
	f, err := os.Open(b.disk)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	size, sector, err := disk.Geometry(f)
	if err != nil {
		b.Fatal(err)
	}
	c, err := content.Inspect(f, size, sector)
	if err != nil || len(c.Partitions) != 1 {
		b.Fatalf("%+v, %v", c, err)
	}
	return c.Partitions[0]
}

// facts are those of the partition. It fails the test if a byte of the disk changes meanwhile.
func (b bench) facts() content.Facts {
	b.Helper()
	disktest.Tool(b, "blockdev", "--flushbufs", b.node) // what programs wrote by the file of the partition
	before := b.sum()
	got := Of(b.Context(), b.disk, b.found())
	if b.sum() != before {
		b.Error("looking has changed the disk")
	}
	return got
}

// sum is a hash of all bytes of the disk, without its holes.
func (b bench) sum() string {
	b.Helper()
	disktest.Tool(b, "blockdev", "--flushbufs", b.disk)
	image, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(b.disk), "loop/backing_file"))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(strings.TrimSpace(string(image)))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	block, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	for end := int64(0); ; { // the kernel may fill a hole with zeros, and the other way round
		begin, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return fmt.Sprintf("%x", h.Sum(nil))
		}
		if err != nil {
			b.Fatal(err)
		}
		begin -= begin % int64(len(block))
		n, err := f.ReadAt(block, begin)
		if err != nil && !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if !bytes.Equal(block[:n], zero[:n]) {
			fmt.Fprintln(h, begin)
			h.Write(block[:n])
		}
		end = begin + int64(len(block))
	}
}

// mounted calls do with the files of the partition.
func (b bench) mounted(do func(dir string)) {
	b.Helper()
	dir := b.TempDir()
	disktest.Tool(b, "mount", b.node, dir)
	defer disktest.Tool(b, "umount", dir)
	do(dir)
}

// fill writes n files of 1 MiB.
func (b bench) fill(dir string, n int) {
	b.Helper()
	random := rand.NewChaCha8([32]byte{1})
	p := make([]byte, mib)
	for i := range n {
		_, _ = random.Read(p)
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), p, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// files is a hash of what fill wrote.
func (b bench) files() string {
	b.Helper()
	out := ""
	b.mounted(func(dir string) { out = disktest.Tool(b, "sh", "-c", "cd "+dir+" && sha256sum $(ls | grep '^[0-9]')") })
	return out
}

func (b bench) want(what string, got, from, to int64) {
	b.Helper()
	if got < from || got > to {
		b.Errorf("%s is %d, want %d to %d", what, got, from, to)
	}
}

// TestExt: a filesystem really becomes as small as it is said to, and one that must not be changed says why.
func TestExt(t *testing.T) {
	const size = 1024 * mib
	for _, kind := range []string{"ext2", "ext3", "ext4"} {
		b := partition(t, size, "mkfs."+kind+" -q -F -L data")
		b.mounted(func(dir string) { b.fill(dir, 40) })
		files, got := b.files(), b.facts()
		b.want(kind+": Used", got.Used, 40*mib, 150*mib)
		b.want(kind+": Minimum", got.Minimum, Margin+40*mib, Margin+150*mib)
		if got.Unfit != "" {
			t.Errorf("%s: unfit: %s", kind, got.Unfit)
		}
		disktest.Tool(t, "e2fsck", "-f", "-y", b.node)
		disktest.Tool(t, ResizePath, b.node, fmt.Sprint(got.Minimum/1024, "K"))
		disktest.Tool(t, "e2fsck", "-f", "-n", b.node)
		if b.files() != files {
			t.Errorf("%s: the files are not the same in the smaller filesystem", kind)
		}
	}
}

func TestExtUnfit(t *testing.T) {
	for command, want := range map[string]string{
		"debugfs -w -R feature~needs_recovery":  "unclean",
		"debugfs -w -R set_super_value~state~3": "dirty",
		"debugfs -w -R set_super_value~state~0": "unclean",
		"debugfs -w -R feature~stable_inodes": "its inodes keep their numbers (stable_inodes), so it cannot be " +
			"shrunk",
		"debugfs -w -R set_super_value~blocks_count~65536": "it is larger than its partition",
	} {
		b := partition(t, 128*mib, "mkfs.ext4 -q -F -b 4096")
		args := append(strings.Fields(command), b.node)
		args[3] = strings.ReplaceAll(args[3], "~", " ")
		disktest.Tool(t, args[0], args[1:]...)
		if got := b.facts(); got.Unfit != want || got.Minimum != 0 {
			t.Errorf("%s: %+v, want %q", command, got, want)
		}
	}
	b := partition(t, 128*mib, "mkfs.ext4 -q -F -O bigalloc")
	if got := b.facts(); !strings.Contains(got.Unfit, "bigalloc") {
		t.Errorf("bigalloc: %+v", got)
	}
	b = partition(t, 128*mib, "mkfs.ext4 -q -F -O metadata_csum")
	disktest.Tool(t, "dd", "if=/dev/urandom", "of="+b.node, "bs=1", "seek=1200", "count=8", "conv=notrunc")
	if got := b.facts(); !strings.Contains(got.Unfit, "checksum of its superblock is wrong") {
		t.Errorf("a wrong checksum: %+v", got)
	}
}

func TestBtrfs(t *testing.T) {
	const size = 4096 * mib
	b := partition(t, size, "mkfs.btrfs -q")
	b.mounted(func(dir string) { b.fill(dir, 200) })
	files, got := b.files(), b.facts()
	b.want("Used", got.Used, 200*mib, 300*mib)
	b.want("Minimum", got.Minimum, 1300*mib, 3000*mib)
	if got.Unfit != "" {
		t.Errorf("unfit: %s", got.Unfit)
	}
	b.mounted(func(dir string) {
		disktest.Tool(t, "btrfs", "filesystem", "resize", fmt.Sprint(got.Minimum), dir)
	})
	if b.files() != files {
		t.Error("the files are not the same in the smaller filesystem")
	}
	disktest.Tool(t, "btrfs", "check", b.node)
	b.mounted(func(dir string) { // the state that a power cut leaves
		disktest.Tool(t, "sh", "-c", "sync; echo new >"+dir+"/new; sync "+dir+"/new")
		if got := Of(t.Context(), b.disk, b.found()); got.Unfit != "unclean" {
			t.Errorf("with a log: %+v", got)
		}
	})
	disktest.Tool(t, "btrfstune", "-S", "1", b.node)
	if got := b.facts(); !strings.Contains(got.Unfit, "seed") {
		t.Errorf("a seed: %+v", got)
	}
}

// TestBtrfsOfTwoDevices: none of them can be shrunk by itself.
func TestBtrfsOfTwoDevices(t *testing.T) {
	b, other := partition(t, 512*mib, "true"), partition(t, 512*mib, "true")
	disktest.Tool(t, "mkfs.btrfs", "-q", b.node, other.node)
	for _, b := range []bench{b, other} {
		if got := b.facts(); !strings.Contains(got.Unfit, "several devices") {
			t.Errorf("%+v", got)
		}
	}
}

// TestFAT: as many clusters are in use as fsck.vfat counts.
func TestFAT(t *testing.T) {
	for _, c := range []struct {
		size    int64
		command string
		fill    bool
	}{{8 * mib, "mkfs.vfat -F 12", true}, {64 * mib, "mkfs.vfat -F 16", true},
		{100 * mib, "mkfs.vfat -F 32 -s 1", true}, {64 * mib, "mkfs.vfat -F 32 -s 8", false}} {
		b := partition(t, c.size, c.command)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, make([]byte, 3*mib+1), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.fill {
			disktest.Tool(t, "mcopy", "-i", b.node, file, "::file")
		}
		got := b.facts()
		out := disktest.Tool(t, "fsck.vfat", "-n", "-v", b.node)
		var cluster, at int64
		for line := range strings.Lines(out) {
			line = strings.TrimSpace(line)
			if strings.HasSuffix(line, " bytes per cluster") {
				_, _ = fmt.Sscan(line, &cluster)
			}
			_, _ = fmt.Sscanf(line, "Data area starts at byte %d", &at)
		}
		counts := out[strings.LastIndex(out, ", ")+2:]
		used, err := strconv.ParseInt(counts[:strings.Index(counts, "/")], 10, 64)
		if err != nil || cluster == 0 || at == 0 {
			t.Fatalf("%v: fsck.vfat says %s", err, out)
		}
		if want := at + used*cluster; got != (content.Facts{Used: want}) {
			t.Errorf("%s: %+v, want %d used", c.command, got, want)
		}
	}
}

// TestNTFS: what package ntfs says is there, in the words of the contract.
func TestNTFS(t *testing.T) {
	const size = 1024 * mib
	b := partition(t, size, "mkntfs -q -Q -L Windows")
	got := b.facts()
	b.want("Used", got.Used, mib, 100*mib)
	b.want("Minimum", got.Minimum, Margin, size)
	if got.Unfit != "" {
		t.Errorf("unfit: %s", got.Unfit)
	}
	disktest.Tool(t, "ntfsfix", b.node) // which marks it for a check
	if got := b.facts(); got.Unfit != "dirty" || got.Minimum == 0 {
		t.Errorf("dirty: %+v", got)
	}
	dir := t.TempDir()
	disktest.Tool(t, "ntfs-3g", b.node, dir)
	err := os.WriteFile(filepath.Join(dir, "hiberfil.sys"), append([]byte("hibr"), make([]byte, 8*mib)...), 0o644)
	disktest.Tool(t, "umount", dir)
	if got := b.facts(); err != nil || got.Unfit != "hibernated" {
		t.Errorf("hibernated: %+v, %v", got, err)
	}
}

// TestOf: a filesystem of another kind, a look that is stopped, and another table than the kernel's say nothing.
func TestOf(t *testing.T) {
	b := partition(t, 64*mib, "mkfs.ext4 -q -F")
	p := b.found()
	if got := Of(t.Context(), b.disk, p); got.Used == 0 {
		t.Errorf("%+v", got)
	}
	moved, other := p, p
	moved.Start += 512
	other.Signature.Type = "xfs"
	for name, p := range map[string]content.Partition{"another place": moved, "another kind": other} {
		if got := Of(t.Context(), b.disk, p); got != (content.Facts{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if got := Of(stopped, b.disk, p); got != (content.Facts{}) {
		t.Errorf("stopped: %+v", got)
	}
	p.Number = 9
	if got := Of(t.Context(), b.disk, p); !strings.Contains(got.Unfit, "the kernel does not know it") {
		t.Errorf("a partition that the kernel does not have: %+v", got)
	}
}
