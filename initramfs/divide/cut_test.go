package divide

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

var errCut = errors.New("the power failed")

// cutter lets some writes pass, and none after them. Of those that were not synced each is lost by chance.
type cutter struct {
	left    int
	writes  int
	pending []undo
}

// undo is what a write has overwritten.
type undo struct {
	f     *os.File
	at    int64
	bytes []byte
}

// cut is a device whose writes a cutter cuts off.
type cut struct {
	*os.File
	c *cutter
}

func (d cut) WriteAt(b []byte, at int64) (int, error) {
	c := d.c
	if c.writes++; c.left == 0 {
		for i := len(c.pending) - 1; i >= 0; i-- {
			if u := c.pending[i]; rand.IntN(2) == 0 {
				_, _ = u.f.WriteAt(u.bytes, u.at)
			}
		}
		c.pending, c.left = nil, -1
		_ = d.File.Sync()
	}
	if c.left < 0 {
		return 0, errCut
	}
	c.left--
	old := make([]byte, len(b))
	if _, err := d.ReadAt(old, at); err != nil {
		return 0, err
	}
	c.pending = append(c.pending, undo{d.File, at, old})
	return d.File.WriteAt(b, at)
}

func (d cut) Sync() error {
	if d.c.left < 0 {
		return errCut
	}
	d.c.pending = nil
	return d.File.Sync()
}

func (d cut) Close() error {
	d.c.pending = nil
	return d.File.Close()
}

// TestCut cuts the power after a number of the writes of a run, and continues it. Programs have no such cuts.
func TestCut(t *testing.T) {
	for i, c := range methods() {
		if !torture && i > 1 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			m := &machine{t: t}
			m.windows(512)
			all := &cutter{left: 1 << 30}
			o := m.options(m.plan(c.doc), &book{})
			o.wrap = func(f *os.File) device { return cut{f, all} }
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			for n := range all.writes {
				if !torture && rand.IntN(all.writes) > 5 {
					continue
				}
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					m := &machine{t: t}
					dev := m.windows(512)
					p := m.plan(c.doc)
					before := sums(t, dev, staying(p)...)
					var b book
					o := m.options(p, &b)
					now := &cutter{left: n}
					o.wrap = func(f *os.File) device { return cut{f, now} }
					if _, err := Run(t.Context(), o); !errors.Is(err, errCut) {
						t.Fatalf("Run, cut at write %d = %v", n, err)
					}
					same(t, before, sums(t, dev, staying(p)...))
					m.must(p, &b)
					same(t, before, sums(t, dev, staying(p)...))
				})
			}
		})
	}
}
