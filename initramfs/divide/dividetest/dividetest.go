// Package dividetest makes random disks and layouts, and judges what became of the disks.
//
// Call Disk for each disk of a machine, and Ask for a layout that often fits them. Watch keeps what is on the disks
// when a plan is made; Watched.Outside says whether every byte is still there that the layout does not give up, at any
// time, and Watched.Done whether the disks have what the plan says.
//
// The same random numbers make the same disks, but for the UUIDs in them. Disks are sparse files behind loop devices,
// with sectors of 512 or 4096 bytes. They have a GPT, an MBR or neither, and in them what people have: EFI system
// partitions, Windows with its reserved and recovery partitions, filesystems with files, swap, members of LVM and of
// RAIDs, encrypted partitions, logical partitions, pools of Griddle, unknown bytes, and in free space what was left of
// other filesystems.
//
// The judges know nothing of Griddle: sfdisk, sgdisk, blkid and wipefs, and a comparison of all bytes. What may change
// is what the layout asked for (Asked), and not what the plan says of itself.
package dividetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/disk/table"

	"golang.org/x/sys/unix"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// Disk is a disk in a file.
type Disk struct {
	Serial string
	File   string
	Size   int64  // bytes
	Sector int    // bytes
	Dev    string // its loop device; "" while the machine is off
	Table  string // "gpt", "mbr" or ""
	Parts  []Part // by where they begin
}

// Part is a partition of a disk.
type Part struct {
	Number      int
	Start, Size int64 // bytes
	Kind        Kind
}

// end is the byte behind it.
func (p Part) end() int64 { return p.Start + p.Size }

// String is what a log says of a disk.
func (d *Disk) String() string {
	text := fmt.Sprintf("%s: %d bytes, sectors of %d, table %q:", d.Serial, d.Size, d.Sector, d.Table)
	for _, p := range d.Parts {
		text += fmt.Sprintf(" %d %s at %d with %d,", p.Number, p.Kind, p.Start, p.Size)
	}
	return strings.TrimSuffix(text, ",")
}

// Attach makes a loop device of the disk. Which one it is, the kernel decides.
func (d *Disk) Attach(t testing.TB) {
	t.Helper()
	dev := disktest.Attach(t, d.File, "--sector-size", fmt.Sprint(d.Sector))
	d.Dev = dev
	t.Cleanup(func() {
		if d.Dev == dev {
			d.Detach(t)
		}
	})
}

// Detach takes the loop device away, as a computer that is switched off does.
func (d *Disk) Detach(t testing.TB) {
	t.Helper()
	disktest.Detach(t, d.Dev)
	d.Dev = ""
}

// settle brings everything that was written to the file of the disk.
func (d *Disk) settle(t testing.TB) {
	t.Helper()
	nodes, err := filepath.Glob(d.Dev + "p*")
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range append(nodes, d.Dev) {
		f, err := os.Open(node)
		if errors.Is(err, unix.ENXIO) || errors.Is(err, os.ErrNotExist) {
			continue // the device file of a partition that the kernel does not know
		}
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// announce tells the kernel which partitions the disk has: it may have no parser for a GPT.
func (d *Disk) announce(t testing.TB) {
	t.Helper()
	var parts []table.Part
	for _, p := range d.Parts {
		if p.Kind != extendedKind {
			parts = append(parts, table.Part{Number: p.Number, Start: p.Start, Size: p.Size})
		}
	}
	f, err := os.Open(d.Dev)
	if err == nil {
		err = errors.Join(table.Announce(f, "/sys", parts), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// node is the device file of a partition.
func (d *Disk) node(t testing.TB, number int) string {
	t.Helper()
	node, err := disk.Node(d.Dev, "/sys", number)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// between is a random number from a, at least 1, to b: as often in the first tenfold as in the next.
func between(r *rand.Rand, a, b int64) int64 {
	if b <= a {
		return a
	}
	return min(b, max(a, int64(float64(a)*math.Exp(r.Float64()*math.Log(float64(b)/float64(a))))))
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
