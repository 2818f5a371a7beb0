package content

import (
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A reading stands in for a read only if it is of the file as it is, and what the manifest wants.
func TestVerifyRest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *Reading)
		reads  bool // the file is read again
	}{
		{"the same", func(*Reading) {}, false},
		{"another second", func(r *Reading) { r.Changed.Sec++ }, true},
		{"another nanosecond", func(r *Reading) { r.Changed.Nsec ^= 1 }, true},
		{"another size", func(r *Reading) { r.Size++ }, true},
		{"other content", func(r *Reading) { r.SHA256[0]++ }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, m := plant(t)
			// The file has other content, so that a read of it is seen.
			path := filepath.Join(dir, "a")
			if err := keepTimes(path, func() error { return unix.Truncate(path, 1) }); err != nil {
				t.Fatal(err)
			}
			if err := keepTimes(path, func() error { return unix.Truncate(path, 1<<20) }); err != nil {
				t.Fatal(err)
			}
			if err := rewriteByte(path); err != nil {
				t.Fatal(err)
			}
			st := lstat(path)
			r := Reading{Size: st.Size, Changed: st.Ctim, SHA256: sha256.Sum256(make([]byte, 1<<20))}
			tt.change(&r)
			var read int64
			err := VerifyRest(t.Context(), dir, m, Readings{st.Ino: r}, func(n int64) { read = n })
			var different *MismatchError
			if again := errors.As(err, &different); again != tt.reads || err != nil && !again || read != m.Size() {
				t.Errorf("VerifyRest = %v after %d bytes, want a read of the file: %v", err, read, tt.reads)
			}
			// Of another inode it says nothing.
			if err := VerifyRest(t.Context(), dir, m, Readings{st.Ino + 1: r}, nil); err == nil {
				t.Error("a reading of another file was taken")
			}
		})
	}
}

func rewriteByte(path string) error {
	return keepTimes(path, func() error {
		fd, err := unix.Open(path, unix.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = unix.Pwrite(fd, []byte{1}, 1000)
		return errors.Join(err, unix.Close(fd))
	})
}
