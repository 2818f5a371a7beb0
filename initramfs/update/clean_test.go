package update

import (
	"errors"
	"slices"
	"testing"

	"griddle/initramfs/pool"
)

func TestWaste(t *testing.T) {
	good := func(name string) pool.Root { return pool.Root{Name: name, Image: "i" + name, Good: true} }
	runs := pool.Root{Name: "7", Image: "i7", Good: true, Runs: true, InUse: true, Boots: true}
	many := []pool.Root{{Name: "9", Image: "i9"}, {Name: "8", Image: "i8"}, runs, good("6"), {Name: "5", Image: "i5"},
		good("4"), good("3"), good("2")}
	images := func(names ...string) (out []pool.Image) {
		for _, n := range names {
			out = append(out, pool.Image{Name: n})
		}
		return out
	}
	held := images("i1", "i2", "i3")
	held[0].InUse = true
	for _, c := range []struct {
		name          string
		c             pool.Contents
		roots, images []string
	}{
		{"a pool that is new", pool.Contents{Roots: []pool.Root{runs}, Images: images("i7"), Good: "7", Boots: "7"},
			nil, nil},
		{"many", pool.Contents{Roots: many, Good: "7", Candidate: "9",
			Images: images("i9", "i8", "i7", "i6", "i5", "i4", "i3")},
			[]string{"8", "5", "3", "2"}, []string{"i8", "i6", "i5", "i4", "i3"}},
		{"the good root does not run", pool.Contents{Roots: many, Good: "3", Images: images("i7", "i6", "i3")},
			[]string{"9", "8", "5", "2"}, []string{"i6"}},
		{"mounted", pool.Contents{Roots: []pool.Root{runs, {Name: "1", InUse: true}}, Images: held, Good: "7"},
			nil, []string{"i2", "i3"}},
		{"kernel images", pool.Contents{Roots: []pool.Root{runs}, Good: "7",
			Images: images("i7", "griddle_kernel-6.2@amd64", "griddle_kernel-6.1@amd64")},
			nil, []string{"griddle_kernel-6.1@amd64"}},
		{"not known what boots", pool.Contents{Roots: many, NoBoots: errors.New("damaged")}, nil, nil},
	} {
		roots, images := Waste(c.c)
		if !slices.Equal(roots, c.roots) || !slices.Equal(images, c.images) {
			t.Errorf("%s: Waste = %v, %v, want %v, %v", c.name, roots, images, c.roots, c.images)
		}
	}
}
