package diskimage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPut: the copy is the disk, holes and all; under its name there is never half of one.
func TestPut(t *testing.T) {
	from := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(from)
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte("x"), 1000), 3*mib)
	}
	if err == nil {
		err = errors.Join(f.Truncate(8*mib), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	d := Disk{Path: from, Format: Raw}
	if d.Digest, d.Size, err = fileDigest(t.Context(), from, nil); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "new", "web-1-amd64.raw")
	put := func(ctx context.Context, want bool) error {
		t.Helper()
		copied, err := d.Put(ctx, name)
		if copied != want {
			t.Errorf("Put = %v, %v, want %v", copied, err, want)
		}
		return err
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, before := range []string{"", "an old one"} {
		if before != "" {
			if err := os.WriteFile(name, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := put(over, false); !errors.Is(err, context.Canceled) {
			t.Errorf("Put after the end = %v", err)
		}
		if b, err := os.ReadFile(name); before == "" && !errors.Is(err, os.ErrNotExist) || string(b) != before {
			t.Errorf("it left %d bytes (%v)", len(b), err)
		}
		if _, err := os.Stat(partialName(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it left a partial file: %v", err)
		}
	}
	// Two processes do not write to one file.
	other, err := openPartial(partialName(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), false); err == nil || !strings.Contains(err.Error(), "another process does that now") {
		t.Errorf("Put beside another = %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	// What a killed run left is in the way of none.
	if err := os.WriteFile(partialName(name), bytes.Repeat([]byte("y"), 9*mib), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	digest, size, err := fileDigest(t.Context(), name, nil)
	if err != nil || digest != d.Digest || size != d.Size {
		t.Errorf("the copy has %d bytes, %s (%v)", size, digest, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil || st.Blocks*512 > mib {
		t.Errorf("the copy takes %d bytes on the disk (%v)", st.Blocks*512, err)
	}
}
