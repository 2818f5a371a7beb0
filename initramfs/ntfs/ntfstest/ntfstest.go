// Package ntfstest makes NTFS volumes for tests, on loop devices.
//
// Call Make once, and New for each test that changes a volume. A package that uses it calls mounttest.Own in TestMain.
package ntfstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// What Make makes. $MFTMirr is in the middle of the volume.
const (
	Start = 1 * mib    // where the volume is on its disk
	Size  = 3072 * mib // bytes of its partition
	after = 1 * mib    // bytes behind the partition
	// End is below the cluster where data lies at the end: a volume of this size has to move it.
	End = 2048 * mib
)

// Volume is a partition of a disk.
type Volume struct {
	Disk   string // a file
	Device string // a loop device of the partition alone
	Sector int    // bytes
}

// Tool runs a program that must succeed.
func Tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run make deps", err)
	}
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Blank is a disk of zeros with one partition, and bytes around it that are not.
func Blank(t testing.TB, size int64, sector int) *Volume {
	t.Helper()
	v := &Volume{Disk: filepath.Join(t.TempDir(), "disk"), Sector: sector}
	f, err := os.Create(v.Disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, before := f.WriteAt(bytes.Repeat([]byte{0xa5}, Start), 0)
	_, behind := f.WriteAt(bytes.Repeat([]byte{0x5a}, after), Start+size)
	if err := errors.Join(before, behind); err != nil {
		t.Fatal(err)
	}
	v.Attach(t, size)
	return v
}

// Attach gives the partition of a disk a size, as a change of the partition table does.
func (v *Volume) Attach(t testing.TB, size int64) {
	t.Helper()
	v.Detach(t)
	dev := Tool(t, "losetup", "--find", "--show", "--offset", fmt.Sprint(Start), "--sizelimit", fmt.Sprint(size),
		"--sector-size", fmt.Sprint(v.Sector), v.Disk)
	v.Device = dev
	t.Cleanup(func() {
		if v.Device == dev {
			v.Detach(t)
		}
	})
}

// Detach removes the device.
func (v *Volume) Detach(t testing.TB) {
	if v.Device != "" {
		Tool(t, "losetup", "--detach", v.Device)
	}
	v.Device = ""
}

// Format makes an empty NTFS.
func (v *Volume) Format(t testing.TB, args ...string) {
	t.Helper()
	Tool(t, "mkntfs", append(args, "--quiet", "--fast", "--label", "Windows", "--sector-size", fmt.Sprint(v.Sector),
		"--partition-start", fmt.Sprint(Start/v.Sector), v.Device)...)
}

// Mounted calls do with the files of a volume.
func (v *Volume) Mounted(t testing.TB, options string, do func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	Tool(t, "ntfs-3g", "-o", options, v.Device, dir)
	defer Tool(t, "umount", dir)
	do(dir)
}

// Make makes a volume with files of many sizes, a sparse one, one in many parts, one with streams, and a folder of many
// files. Those that it writes last are behind End. It looks like one of Windows.
func Make(t testing.TB, sector int) *Volume {
	t.Helper()
	v := Blank(t, Size, sector)
	v.Format(t)
	random := rand.NewChaCha8([32]byte{1})
	write := func(path string, n int) {
		p := make([]byte, n)
		_, _ = random.Read(p)
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v.Mounted(t, "rw", func(dir string) {
		for _, name := range []string{"Windows", "Program Files", "Users/ada/Pictures"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30 {
			write(fmt.Sprintf("%s/Windows/early%d", dir, i), i*i*100)
		}
		if err := os.WriteFile(dir+"/filler", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	Tool(t, "ntfsfallocate", "-l", fmt.Sprint(End+64*mib), v.Device, "filler")
	v.Mounted(t, "rw", func(dir string) {
		parts(t, dir+"/Users/ada/parts")
		for i := range 100 {
			write(fmt.Sprintf("%s/Users/ada/Pictures/%d.jpg", dir, i), i*i*i/3)
		}
		write(dir+"/pagefile.sys", 4*mib)
		streams(t, dir+"/Users/ada/streams")
		sparse(t, dir+"/Users/ada/sparse")
		if err := os.Remove(dir + "/filler"); err != nil {
			t.Fatal(err)
		}
	})
	return v
}

// parts writes two files by turns, so that each is in many parts, and deletes one.
func parts(t testing.TB, path string) {
	a, err := os.Create(path)
	b, err2 := os.Create(path + "2")
	for i := range 40 {
		p := bytes.Repeat([]byte{byte(i + 1)}, 16<<10)
		_, e1 := a.Write(p)
		_, e2 := b.Write(p)
		err = errors.Join(err, e1, e2, a.Sync(), b.Sync())
	}
	if err := errors.Join(err, err2, a.Close(), b.Close(), os.Remove(path+"2")); err != nil {
		t.Fatal(err)
	}
}

// streams writes a file with named streams, a short and a long one.
func streams(t testing.TB, path string) {
	if err := errors.Join(os.WriteFile(path, []byte("unnamed"), 0o644),
		unix.Setxattr(path, "user.short", []byte("a stream"), 0),
		unix.Setxattr(path, "user.long", bytes.Repeat([]byte("long"), 10_000), 0)); err != nil {
		t.Fatal(err)
	}
}

// sparse writes a file of 900 MiB with data at its beginning and its end.
func sparse(t testing.TB, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, begin := f.WriteAt([]byte("begin"), 0)
	_, end := f.WriteAt([]byte("end"), 900*mib)
	if err := errors.Join(begin, end, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// Copy is another disk with the same bytes.
func (v *Volume) Copy(t testing.TB, size int64) *Volume {
	t.Helper()
	c := &Volume{Disk: filepath.Join(t.TempDir(), "disk"), Sector: v.Sector}
	Tool(t, "cp", "--sparse=always", v.Disk, c.Disk)
	c.Attach(t, size)
	return c
}

// Files are all files of a volume, each with a hash of its content, its time and its streams. The volume is only read.
func (v *Volume) Files(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{}
	v.Mounted(t, "ro", func(dir string) {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || path == dir {
				return err
			}
			st, err := e.Info()
			if err != nil {
				return err
			}
			files[path[len(dir):]] = fmt.Sprintf("%s %d %s %x", st.Mode(), st.Size(), st.ModTime().UTC(),
				content(t, path, st))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return files
}

// content is a hash of what a file has: its data, not the holes, and its streams.
func content(t testing.TB, path string, st fs.FileInfo) []byte {
	h := sha256.New()
	if st.Mode().IsRegular() {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n := st.Size()
		if n > 512*mib { // the sparse one: its ends
			p := make([]byte, mib)
			_, err1 := f.ReadAt(p, 0)
			h.Write(p)
			_, err2 := f.ReadAt(p, n-mib)
			h.Write(p)
			err = errors.Join(err1, err2)
		} else {
			_, err = f.WriteTo(h)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names := make([]byte, 4096)
	n, err := unix.Listxattr(path, names)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 }) {
		p := make([]byte, 64<<10)
		n, err := unix.Getxattr(path, name, p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n", name, n)
		h.Write(p[:n])
	}
	return h.Sum(nil)
}

// Neighbours fails the test if a byte before or behind the partition of size bytes has changed.
func (v *Volume) Neighbours(t testing.TB, size int64) {
	t.Helper()
	f, err := os.Open(v.Disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, behind := make([]byte, Start), make([]byte, after)
	_, err1 := f.ReadAt(before, 0)
	_, err2 := f.ReadAt(behind, Start+size)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, bytes.Repeat([]byte{0xa5}, Start)) ||
		!bytes.Equal(behind, bytes.Repeat([]byte{0x5a}, after)) {
		t.Error("bytes outside the partition have changed")
	}
}

// Sum is a hash of all bytes of a disk, without its holes.
func (v *Volume) Sum(t testing.TB) string {
	t.Helper()
	Tool(t, "blockdev", "--flushbufs", v.Device)
	f, err := os.Open(v.Disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	for end := int64(0); ; {
		begin, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return fmt.Sprintf("%x", h.Sum(nil))
		}
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), begin, unix.SEEK_HOLE)
		}
		fmt.Fprintln(h, begin, end)
		if err == nil {
			_, err = io.Copy(h, io.NewSectionReader(f, begin, end-begin))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Edit changes the bytes of a volume at byte at.
func (v *Volume) Edit(t testing.TB, at int64, n int, change func(p []byte)) {
	t.Helper()
	f, err := os.OpenFile(v.Device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, n)
	_, read := f.ReadAt(p, at)
	change(p)
	_, written := f.WriteAt(p, at)
	if err := errors.Join(read, written, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// number reads 8 bytes of the boot sector.
func (v *Volume) number(t testing.TB, at int64) int64 {
	t.Helper()
	var n int64
	v.Edit(t, at, 8, func(p []byte) { n = int64(binary.LittleEndian.Uint64(p)) })
	return n
}

// SetDirty marks a volume for a check, as Windows does. Its clusters have 4096 bytes and its records size bytes.
func (v *Volume) SetDirty(t testing.TB, size int64) {
	t.Helper()
	for _, cluster := range []int64{v.number(t, 48), v.number(t, 56)} {
		v.Edit(t, cluster*4096+3*size, int(size), func(p []byte) {
			at := uint32(binary.LittleEndian.Uint16(p[20:]))
			for binary.LittleEndian.Uint32(p[at:]) != 0x70 {
				at += binary.LittleEndian.Uint32(p[at+4:])
			}
			p[at+uint32(binary.LittleEndian.Uint16(p[at+20:]))+10] |= 1
		})
	}
}
