package dividetest

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"

	"golang.org/x/sys/unix"
)

// Watched is what was on the disks of a machine when a plan was made.
type Watched struct {
	Plan  plan.Plan // that is carried out
	disks []*Disk
	asked Asked
	was   map[string]before // by serial
}

type before struct {
	copy  string         // a file
	table listing        // as sfdisk knows it
	ids   map[int]string // what blkid says of each partition
	files map[int]map[string]string
}

// Watch keeps all bytes of the disks, and the files of what the layout shrinks.
func Watch(t testing.TB, disks []*Disk, asked Asked, p plan.Plan) *Watched {
	t.Helper()
	w := &Watched{Plan: p, disks: disks, asked: asked, was: map[string]before{}}
	for _, d := range disks {
		b := before{ids: map[int]string{}, files: map[int]map[string]string{}}
		if d.Table != "" {
			b.table = readTable(t, d)
			d.announce(t)
		}
		for _, q := range d.Parts {
			if q.Kind != extendedKind {
				b.ids[q.Number] = identified(t, d.node(t, q.Number))
			}
			if asked.Parts[d.Serial][q.Number] == plan.Shrunk && w.fate(d, q.Number) == plan.Shrunk {
				b.files[q.Number] = tree(t, d.node(t, q.Number), q.Kind)
			}
		}
		d.settle(t)
		b.copy = filepath.Join(t.TempDir(), "before")
		disktest.Tool(t, "cp", "--sparse=always", d.File, b.copy)
		w.was[d.Serial] = b
	}
	return w
}

// planned is the disk in the plan.
func (w *Watched) planned(d *Disk) (plan.Disk, bool) {
	i := slices.IndexFunc(w.Plan.Disks, func(p plan.Disk) bool { return p.Serial == d.Serial })
	if i < 0 {
		return plan.Disk{}, false
	}
	return w.Plan.Disks[i], true
}

// fate is what the plan says of a partition of today; "" if it says nothing.
func (w *Watched) fate(d *Disk, number int) plan.Fate {
	planned, _ := w.planned(d)
	for _, p := range planned.Before {
		if p.Number == number {
			return p.Fate
		}
	}
	return ""
}

// extent is some bytes of a disk.
type extent struct{ from, to int64 }

// allowed are the bytes of a disk that may change: what the layout gives up, what was free and is given to a new
// partition, and the table.
func (w *Watched) allowed(d *Disk) (out []extent) {
	planned, ok := w.planned(d)
	switch {
	case !ok:
		return nil
	case w.asked.Wiped[d.Serial] || d.Table == "":
		return []extent{{0, d.Size}} // a disk without a table that is not wiped is blank, or the plan is refused
	case d.Table == "mbr":
		out = append(out, extent{446, 510}) // its four entries
	default:
		sector := int64(d.Sector)
		array := roundUp(int64(w.was[d.Serial].table.slots)*128, sector)
		out = append(out, extent{sector, 2*sector + array}, extent{d.Size/sector*sector - sector - array, d.Size})
	}
	for _, p := range d.Parts {
		if w.asked.Parts[d.Serial][p.Number] != "" {
			out = append(out, extent{p.Start, p.end()})
		}
	}
	for _, p := range planned.After {
		// What is made must be where nothing was: no byte of a partition of today is given to it.
		over := func(q Part) bool {
			return w.asked.Parts[d.Serial][q.Number] == "" && q.Start < p.Start+p.Size && p.Start < q.end()
		}
		if p.Fate == plan.Made && !slices.ContainsFunc(d.Parts, over) {
			out = append(out, extent{p.Start, p.Start + p.Size})
		}
	}
	return out
}

// Outside fails if a byte has changed that must not.
func (w *Watched) Outside(t testing.TB) {
	t.Helper()
	for _, d := range w.disks {
		d.settle(t)
		at, err := differ(w.was[d.Serial].copy, d.File, w.allowed(d))
		if err != nil {
			t.Fatal(err)
		}
		if at >= 0 {
			t.Errorf("byte %d of disk %s has changed\n%s", at, d.Serial, d)
		}
	}
}

// differ is the first byte outside some extents that two files do not have in common; -1 if there is none. Only what is
// no hole is read.
func differ(before, after string, except []extent) (int64, error) {
	a, err := os.Open(before)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	b, err := os.Open(after)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	var data []extent
	for _, f := range []*os.File{a, b} {
		for end := int64(0); ; {
			from, err := unix.Seek(int(f.Fd()), end, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				break
			}
			if err == nil {
				end, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
			}
			if err != nil {
				return 0, err
			}
			data = append(data, extent{from, end})
		}
	}
	byFrom := func(a, b extent) int { return cmp.Compare(a.from, b.from) }
	slices.SortFunc(data, byFrom)
	except = slices.SortedFunc(slices.Values(except), byFrom)
	done := int64(0)
	for _, e := range data {
		for at := max(done, e.from); at < e.to; {
			to := min(e.to, at+256<<10)
			skip := false
			for _, x := range except {
				switch {
				case x.from <= at && at < x.to:
					at, skip = x.to, true
				case at < x.from && x.from < to:
					to = x.from
				}
			}
			if skip {
				continue
			}
			if n, err := unequal(a, b, at, to-at); err != nil || n >= 0 {
				return n, err
			}
			at = to
		}
		done = max(done, e.to)
	}
	return -1, nil
}

// unequal is the first byte of n that two files do not have in common, -1 if there is none.
func unequal(a, b io.ReaderAt, at, n int64) (int64, error) {
	x, y := make([]byte, n), make([]byte, n)
	_, err1 := a.ReadAt(x, at)
	_, err2 := b.ReadAt(y, at)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	for i := range x {
		if x[i] != y[i] {
			return at + int64(i), nil
		}
	}
	return -1, nil
}

// tree are the files of a filesystem, each with its size, mode and a hash of its content.
func tree(t testing.TB, node string, kind Kind) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if kind == NTFS || kind == Recovery {
		disktest.Tool(t, "ntfs-3g", "-o", "ro", node, dir)
	} else {
		options := "ro"
		if kind == Ext3 || kind == Ext4 { // the others have no journal, or not this option
			options += ",noload"
		}
		disktest.Tool(t, "mount", "-o", options, "-t", string(kind), node, dir)
	}
	defer disktest.Tool(t, "umount", dir)
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprint(st.Mode(), st.Size(), st.ModTime().UTC())
		if st.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		out[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
