package divide

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/disktest"

	"golang.org/x/sys/unix"
)

// TestChanged changes a disk between the plan and a step, or between two steps. The step is not done.
func TestChanged(t *testing.T) {
	for name, c := range map[string]struct {
		after  plan.Verb // the last step that is done before the change; "" is none
		change func(t *testing.T, dev string)
		want   string
	}{
		"a partition more": {"", func(t *testing.T, dev string) {
			disktest.Tool(t, "sgdisk", "-n", "7:500M:+10M", dev)
		}, "it has a partition 7 that was not planned"},
		"a partition less": {"", func(t *testing.T, dev string) { disktest.Tool(t, "sgdisk", "-d", "4", dev) },
			"partition 4 is missing"},
		"another type": {plan.SaveTable, func(t *testing.T, dev string) {
			disktest.Tool(t, "sgdisk", "-t", "4:8300", dev)
		}, `type "Linux filesystem"`},
		"another name": {plan.SaveTable, func(t *testing.T, dev string) {
			disktest.Tool(t, "sgdisk", "-c", "4:mine", dev)
		}, `name "mine"`},
		"another table": {plan.AddEntry, func(t *testing.T, dev string) { disktest.Tool(t, "sgdisk", "-U", "R", dev) },
			"its table has the ID"},
		"a damaged table": {plan.SaveTable, func(t *testing.T, dev string) { noise(t, dev, 0x218, 1) },
			"its partition table is damaged"},
		"another filesystem": {plan.AddEntry, func(t *testing.T, dev string) {
			disktest.Tool(t, "mkfs.ext4", "-q", "-F", dev+"p3")
		}, "partition 3 has ext4, and ntfs was planned"},
		"the same kind": {plan.AddEntry, func(t *testing.T, dev string) {
			disktest.Tool(t, "mkntfs", "-q", "-Q", "-F", dev+"p3")
			noise(t, dev+"p3", 72, 8) // its serial number; mkntfs takes that from the second
		}, "partition 3 has another ntfs than was planned"},
		"a filesystem in a new partition": {plan.AddEntry, func(t *testing.T, dev string) {
			disktest.Tool(t, "mkfs.ext4", "-q", "-F", dev+"p5")
		}, "another system has written to partition 5 since it was added"},
		"bytes in a cleared partition": {plan.Clear, func(t *testing.T, dev string) {
			noise(t, dev+"p3", mib, 512)
			noise(t, dev+"p5", mib, 512)
		}, "since it was cleared"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{t: t}
			dev := m.windows(512)
			p := m.plan(methods()[0].doc)
			if strings.HasSuffix(name, "new partition") { // it is cleared first
				p = m.plan(of(esp, pool))
			}
			var b book
			for i, s := range p.Steps {
				if s.Do == c.after {
					b.fail, b.keep = 2*(i+1)+1, true // its last entry is kept
				}
			}
			if b.fail > 0 {
				if _, err := m.run(p, &b); !errors.Is(err, errBook) {
					t.Fatalf("Run = %v", err)
				}
				b.fail = 0
			}
			c.change(t, dev)
			before := m.everything(dev)
			_, err := m.run(p, &b)
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run = %v, want %q", err, c.want)
			}
			if m.everything(dev) != before {
				t.Error("the disk was written to")
			}
		})
	}
}

// everything is a hash of all bytes of a disk that are not holes of the file behind it.
func (m *machine) everything(dev string) uint64 {
	m.t.Helper()
	disktest.Tool(m.t, "blockdev", "--flushbufs", dev)
	name, err := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/loop/backing_file")
	if err != nil {
		m.t.Fatal(err)
	}
	f, err := os.Open(strings.TrimSpace(string(name)))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	var h maphash.Hash
	h.SetSeed(seed)
	for end := int64(0); ; {
		begin, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return h.Sum64()
		}
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), begin, unix.SEEK_HOLE)
		}
		fmt.Fprintln(&h, begin, end)
		if err == nil {
			_, err = io.Copy(&h, io.NewSectionReader(f, begin, end-begin))
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// TestFinishedSince has a pool whose install did not finish when the plan was made, and has since: people may have data
// in it now.
func TestFinishedSince(t *testing.T) {
	m := &machine{t: t}
	dev := m.blank("S1", 700*mib, 512)
	disktest.Tool(t, "sgdisk", "-n", "1:1M:+300M", "-t", "1:ef00", "-n", "2:0:0", "-t", "2:8300", "-c", "2:griddle",
		dev)
	disktest.Tool(t, "partx", "--update", dev)
	disktest.Tool(t, "mkfs.vfat", "-F", "32", "-s", "1", dev+"p1")
	disktest.Tool(t, "mkfs.btrfs", "-q", "-L", "griddle", dev+"p2")
	mark := func(finished bool) {
		b, err := content.Mark{Job: strings.Replace(jobID, "5", "6", 1), Finished: finished}.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(dev+"p2", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(b, content.MarkAt)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	mark(false)
	p := m.plan(of(esp, pool))
	mark(true)
	before := m.everything(dev)
	if _, err := m.run(p, &book{}); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(),
		"does not have the unfinished install of job "+strings.Replace(jobID, "5", "6", 1)) {
		t.Errorf("Run = %v", err)
	}
	if m.everything(dev) != before {
		t.Error("the disk was written to")
	}
	mark(false)
	m.must(p, &book{})
}
