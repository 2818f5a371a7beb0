package resize

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/umltest/fattest"

	"golang.org/x/sys/unix"
)

// logged is one write that came to the disk, as the kernel's dm-log-writes keeps it.
type logged struct {
	at      int64 // bytes
	bytes   []byte
	flushes bool // everything before it is on the disk
	durable bool // it is on the disk itself
}

// readLog reads the log of a dm-log-writes device (the kernel's Documentation/admin-guide/device-mapper/log-writes.rst
// and drivers/md/dm-log-writes.c): a superblock in the first sector, and then for each write a sector that says where
// it was, and its data.
func readLog(t *testing.T, path string) (out []logged) {
	t.Helper()
	const magic, flush, fua, discard, mark = 0x6a736677736872, 1, 2, 4, 8
	le := binary.LittleEndian
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := func(at, n int64) []byte {
		b := make([]byte, n)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		return b
	}
	head := read(0, 512)
	sector := int64(le.Uint32(head[24:]))
	if le.Uint64(head) != magic || sector < 512 || sector > 4096 {
		t.Fatalf("the log begins with %x", head[:32])
	}
	at := sector
	for range le.Uint64(head[16:]) {
		e := read(at, 32)
		at += sector
		flags, n := le.Uint64(e[16:]), int64(le.Uint64(e[8:]))*sector
		w := logged{at: int64(le.Uint64(e)) * sector, flushes: flags&flush != 0, durable: flags&fua != 0}
		switch {
		case flags&discard != 0:
			continue // what it discards may be anything; here it stays
		case flags&mark != 0:
			n = (int64(le.Uint64(e[24:])) + sector - 1) / sector * sector
			at += n
			continue
		}
		w.bytes = read(at, n)
		at += n
		out = append(out, w)
	}
	return out
}

// TestPowerCut lets the power fail while the kernel shrinks a btrfs: after any of its writes, with any of those lost
// for which it had not waited. The kernel is that of user-mode Linux, on a device that logs what comes to the disk.
func TestPowerCut(t *testing.T) {
	if fattest.Inside() {
		fattest.Run(t, "")
		shrinkLogged(t)
		return
	}
	node, files := made(t, "btrfs")
	backing, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(node), "loop/backing_file"))
	if err != nil {
		t.Fatal(err)
	}
	disktest.Tool(t, "blockdev", "--flushbufs", node)
	dir := t.TempDir()
	base, work, log := filepath.Join(dir, "base"), filepath.Join(dir, "work"), disktest.File(t, 2<<30)
	disktest.Tool(t, "cp", "--sparse=always", strings.TrimSpace(string(backing)), base)
	disktest.Tool(t, "cp", "--sparse=always", base, work)
	fattest.Run(t, dir, work, log)
	writes := readLog(t, log)
	moved := 0
	for _, w := range writes {
		moved += len(w.bytes)
	}
	if moved < 8*mib {
		t.Fatalf("%d bytes came to the disk: no data was moved, and this test proves nothing", moved)
	}
	// The superblock, at 64 KiB, is what makes a transaction count.
	points := []int{0, len(writes)}
	for i, w := range writes {
		if w.at == 64<<10 && (torture || len(points) < 6) {
			points = append(points, i, i+1)
		}
	}
	times := 3
	if torture {
		times = 100
	}
	for range times {
		points = append(points, rand.IntN(len(writes)))
	}
	for _, n := range points {
		t.Run(fmt.Sprintf("%d of %d", n, len(writes)), func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "cut")
			disktest.Tool(t, "cp", "--sparse=always", base, image)
			apply(t, image, writes[:n])
			cut := disktest.Attach(t, image)
			t.Cleanup(func() { disktest.Detach(t, cut) })
			if now := tree(t, cut); !maps.Equal(now, files) {
				t.Errorf("there were %d files, and there are %d, or others", len(files), len(now))
			}
			o := Options{Node: cut, Kind: "btrfs", To: to, Begun: &Begun{},
				Record: func(context.Context, Begun) error { return nil }}
			if err := Shrink(t.Context(), o); err != nil {
				t.Fatalf("Shrink, continued = %v", err)
			}
			shrunk(t, cut, "btrfs", files)
		})
	}
}

// apply writes what came to a disk before a cut: all for which the kernel had waited, and any of the rest.
func apply(t *testing.T, image string, writes []logged) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	waited := 0
	for i, w := range writes {
		if w.flushes {
			waited = i
		}
	}
	for i, w := range writes {
		if i >= waited && !w.durable && rand.IntN(2) == 0 {
			continue
		}
		if _, err = f.WriteAt(w.bytes, w.at); err != nil {
			break
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// shrinkLogged shrinks the btrfs of the first image, and logs its writes to the second one.
func shrinkLogged(t *testing.T) {
	t.Helper()
	fattest.Load(t, "drivers/md/dm-mod", "drivers/md/dm-log-writes")
	disktest.Tool(t, "dmsetup", "create", "cut", "--noudevsync", "--noudevrules", "--table",
		fmt.Sprintf("0 %d log-writes /dev/ubda /dev/ubdb", int64(from)/512))
	o := Options{Node: "/dev/dm-0", Kind: "btrfs", To: to, Record: func(context.Context, Begun) error { return nil }}
	if err := Shrink(t.Context(), o); err != nil {
		t.Fatalf("Shrink = %v", err)
	}
	disktest.Tool(t, "dmsetup", "remove", "--noudevsync", "--noudevrules", "cut")
	unix.Sync()
}
