package superblock

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/disk/disktest"
)

const id = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// made are the devices of a filesystem that mkfs.btrfs made.
func made(t testing.TB, n int) (out []string) {
	t.Helper()
	args := []string{"--quiet", "--uuid", id}
	for range n {
		file := filepath.Join(t.TempDir(), "device")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 128<<20); err != nil {
			t.Fatal(err)
		}
		out = append(out, file)
	}
	disktest.Tool(t, "mkfs.btrfs", append(args, out...)...)
	return out
}

// The devices of a mirror that mkfs.btrfs made, and what is left of one when bytes change.
func TestRead(t *testing.T) {
	for i, file := range made(t, 2) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, ok := Read(f)
		if !ok || s.Filesystem != id || s.Devices != 2 || s.Device != uint64(i+1) || s.Generation == 0 {
			t.Errorf("Read of device %d = %+v, %v", i+1, s, ok)
		}
		b := make([]byte, at+size)
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0x00, 0x20, 0x30, 0x40, 0x48, 0x88, 0xc9, size - 1} {
			changed := bytes.Clone(b)
			changed[at+n] ^= 0x10
			if s, ok := Read(bytes.NewReader(changed)); ok {
				t.Errorf("Read with another byte at %#x = %+v", n, s)
			}
		}
		if s, ok := Read(bytes.NewReader(b[:len(b)-1])); ok {
			t.Errorf("Read of a short partition = %+v", s)
		}
	}
	if s, ok := Read(bytes.NewReader(make([]byte, at+size))); ok {
		t.Errorf("Read of zeros = %+v", s)
	}
}

func FuzzRead(f *testing.F) {
	b := make([]byte, size)
	file, err := os.Open(made(f, 1)[0])
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	if _, err := file.ReadAt(b, at); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	b = bytes.Clone(b)
	b[0xc4] = 1 // another kind of sum
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := Read(bytes.NewReader(append(make([]byte, at), b...)))
		if ok && (len(s.Filesystem) != 36 || s.Devices < 1 || s.Devices > MaxDevices) {
			t.Errorf("Read = %+v", s)
		}
	})
}
