package update_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"

	"golang.org/x/sys/unix"
)

// An update makes room by deleting what no one needs, but not the image that it starts from, whose root was never made.
func TestRoomKeepsParent(t *testing.T) {
	all := three(t)
	m := installed(t, pooltest.Loop(t, 1<<30), all[0])
	m.o.Prepare = true
	if _, err := m.update(t.Context(), t, all[1]); err != nil {
		t.Fatal(err)
	}
	m.o.Prepare, m.seen = false, nil
	m.with(t, func(p *pool.Pool) {
		pooltest.Tool(t, "btrfs", "subvolume", "create", p.Dir()+"/@roots/old")
		f, err := os.Create(filepath.Join(p.Dir(), "@roots/old/large"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		c, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Fallocate(int(f.Fd()), 0, 0, c.Free-64<<20); err != nil {
			t.Fatal(err)
		}
	})
	r, err := m.update(t.Context(), t, all[2].From(2))
	if err != nil || r.Root != "web-20261120.3@amd64" {
		t.Fatalf("Run = %+v, %v", r, err)
	}
	c := m.contents(t)
	if _, err := c.Root("old"); err == nil {
		t.Error("the update needed no room")
	}
	if !slices.ContainsFunc(c.Images, func(i pool.Image) bool { return i.Name == twoRoot }) {
		t.Errorf("the images are %+v", c.Images)
	}
}
