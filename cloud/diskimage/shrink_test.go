package diskimage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestShrink has four disks: the ones used longest ago go, those that are held or named stay.
func TestShrink(t *testing.T) {
	c, i := &Cache{Dir: t.TempDir()}, small(t, true)
	var disks []Disk
	begin := time.Now().Add(-time.Hour)
	for n := range 4 {
		d := make1(t, c, i, Options{Format: Tree, Files: []File{{Path: "/n", Content: []byte{byte(n)}}}})
		at := begin.Add(time.Duration(n) * time.Minute)
		if err := os.Chtimes(filepath.Join(c.Dir, d.Key, infoName), at, at); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, d)
	}
	release, err := c.Hold(disks[0])
	if err != nil {
		t.Fatal(err)
	}
	used, err := c.Usage()
	if err != nil || len(used) != 4 || used[0].Key != disks[3].Key || !used[3].InUse || used[2].InUse ||
		used[0].Bytes <= 0 {
		t.Fatalf("Usage = %+v, %v", used, err)
	}
	one := used[0].Bytes
	if removed, err := c.Shrink(t.Context(), 4*one); err != nil || len(removed) != 0 {
		t.Errorf("Shrink to what there is = %+v, %v", removed, err)
	}
	// The oldest is held, the second is named: the third goes.
	removed, err := c.Shrink(t.Context(), 3*one, disks[1].Digest)
	if err != nil || len(removed) != 1 || removed[0].Key != disks[2].Key {
		t.Errorf("Shrink by one = %+v, %v", removed, err)
	}
	if removed, err = c.Shrink(t.Context(), 0); err != nil || len(removed) != 2 {
		t.Errorf("Shrink to nothing = %+v, %v", removed, err)
	}
	if _, err := c.Find(disks[0].Key); err != nil {
		t.Errorf("the disk that is held: %v", err)
	}
	if _, err := c.Hold(disks[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Hold of a disk that is gone = %v", err)
	}
	release()
	if removed, err = c.Shrink(t.Context(), 0); err != nil || len(removed) != 1 {
		t.Errorf("Shrink after it was released = %+v, %v", removed, err)
	}
}

// TestKeep has a Cache that keeps what it makes from being removed by another one.
func TestKeep(t *testing.T) {
	dir, i := t.TempDir(), small(t, true)
	mine, other := &Cache{Dir: dir, Keep: true}, &Cache{Dir: dir}
	d := make1(t, mine, i, Options{Format: Tree})
	if removed, err := other.Shrink(t.Context(), 0); err != nil || len(removed) != 0 {
		t.Errorf("Shrink of what another has = %+v, %v", removed, err)
	}
	if removed, err := other.Collect(t.Context(), 0); err != nil || len(removed) != 0 {
		t.Errorf("Collect of what another has = %+v, %v", removed, err)
	}
	mine.Close()
	if removed, err := other.Shrink(t.Context(), 0); err != nil || len(removed) != 1 || removed[0].Key != d.Key {
		t.Errorf("Shrink after that = %+v, %v", removed, err)
	}
}

// TestShrinkKernels has four kernels: the newest and those of today stay.
