package ntfs

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"griddle/initramfs/ntfs/trace"

	"golang.org/x/sys/unix"
)

// TestBarrier has the calls of a resize, and where it waits for the disk.
func TestBarrier(t *testing.T) {
	call := func(n, fd, a, b uint64) trace.Call {
		return trace.Call{Number: n, Args: [6]uint64{fd, a, b}}
	}
	var got []string
	b := barrier{sync: func() error {
		got = append(got, "wait")
		return nil
	}}
	for _, c := range []struct {
		name string
		call trace.Call
	}{
		{"a record", call(unix.SYS_PWRITE64, 4, 0, 1024)},
		{"to 8192", call(unix.SYS_LSEEK, 4, 8192, 0)},
		{"a copy", call(unix.SYS_WRITE, 4, 0, 4096)},
		{"a copy", call(unix.SYS_WRITE, 4, 0, 4096)},
		{"a line", call(unix.SYS_WRITE, 1, 0, 80)},
		{"a record", call(unix.SYS_PWRITE64, 4, 0, 1024)},
		{"a record", call(unix.SYS_PWRITE64, 4, 0, 1024)},
		{"a copy", call(unix.SYS_WRITE, 4, 0, 4096)},
		{"to 0", call(unix.SYS_LSEEK, 4, 0, 0)},
		{"the boot sector", call(unix.SYS_WRITE, 4, 0, 512)},
		{"its copy", call(unix.SYS_WRITE, 4, 0, 512)},
		{"a file in memory", call(unix.SYS_LSEEK, 2, 0, 0)},
	} {
		if err := b.before(c.call); err != nil {
			t.Fatal(err)
		}
		got = append(got, c.name)
	}
	want := []string{"a record", "to 8192", "a copy", "a copy", "a line", "wait", "a record", "a record", "a copy",
		"to 0", "wait", "the boot sector", "its copy", "a file in memory"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	b = barrier{pending: true, sync: func() error { return unix.EIO }}
	if err := b.before(call(unix.SYS_PWRITE64, 4, 0, 1)); !errors.Is(err, unix.EIO) {
		t.Errorf("with a disk that fails: %v", err)
	}
}

func TestOnlyReads(t *testing.T) {
	for _, c := range []struct {
		number, fd uint64
		want       error
	}{
		{unix.SYS_READ, 3, nil}, {unix.SYS_WRITE, 2, nil}, {unix.SYS_WRITE, 3, errWrites},
		{unix.SYS_WRITEV, 3, errWrites}, {unix.SYS_PWRITE64, 3, errWrites}, {unix.SYS_PWRITEV, 1, errWrites},
		{unix.SYS_FTRUNCATE, 3, errWrites},
	} {
		if err := onlyReads(trace.Call{Number: c.number, Args: [6]uint64{c.fd}}); err != c.want {
			t.Errorf("onlyReads(%s) = %v", fmt.Sprint(c.number, c.fd), err)
		}
	}
}
