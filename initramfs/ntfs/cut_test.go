package ntfs

import (
	"io"
	"os"
	"testing"

	"griddle/initramfs/ntfs/ntfstest"
	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// write is one write of ntfsresize, or a wait for the disk.
type write struct {
	at     int64
	bytes  []byte
	copied bool // by write(2)
	synced bool
}

// recorder keeps what ntfsresize writes.
type recorder struct {
	barrier barrier
	at      int64
	log     []write
}

// record resizes a volume and returns all that ntfsresize wrote, with the waits of Shrink.
func record(t *testing.T, v *ntfstest.Volume, to int64) []write {
	t.Helper()
	dev := must[*os.File](t)(claim(v.Device))
	defer dev.Close()
	var r recorder
	r.barrier.sync = func() error {
		r.log = append(r.log, write{synced: true})
		return nil
	}
	if err := run(dev, to, nil, r.before); err != nil {
		t.Fatal(err)
	}
	return r.log
}

func (r *recorder) before(c trace.Call) error {
	if err := r.barrier.before(c); err != nil || c.Args[0] <= 2 {
		return err
	}
	switch c.Number {
	case unix.SYS_LSEEK:
		if c.Args[2] == io.SeekStart {
			r.at = int64(c.Args[1])
		}
	case unix.SYS_FSYNC:
		r.log = append(r.log, write{synced: true})
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		w := write{at: int64(c.Args[3]), bytes: make([]byte, c.Args[2]), copied: c.Number == unix.SYS_WRITE}
		if w.copied {
			w.at = r.at
			r.at += int64(len(w.bytes))
		}
		local := []unix.Iovec{{Base: &w.bytes[0], Len: uint64(len(w.bytes))}}
		remote := []unix.RemoteIovec{{Base: uintptr(c.Args[1]), Len: len(w.bytes)}}
		if _, err := unix.ProcessVMReadv(c.PID, local, remote, 0); err != nil {
			return err
		}
		r.log = append(r.log, w)
	}
	return nil
}

// cut is a volume that an interruption left.
type cut struct{ *ntfstest.Volume }

// apply writes some of a log to a copy of the volume from which it was recorded.
func apply(t *testing.T, log []write) cut {
	t.Helper()
	c := fresh(t)
	f := must[*os.File](t)(os.OpenFile(c.Device, os.O_RDWR, 0))
	defer f.Close()
	for _, w := range log {
		if w.synced {
			continue
		}
		if _, err := f.WriteAt(w.bytes, w.at); err != nil {
			t.Fatal(err)
		}
	}
	return cut{c}
}
