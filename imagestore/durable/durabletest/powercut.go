package durabletest

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/imagestore/durable"
)

// Disk is a directory as programs see it, and as it is on the disk for sure.
type Disk struct{ root *inode }

// inode is a file or a directory. What programs see is what was synced with all changes since.
type inode struct {
	dir  bool
	mode fs.FileMode
	time time.Time

	data   []byte // of a file
	synced []byte
	writes []Did // since it was synced: Write, Truncate

	names       map[string]*inode // of a directory
	syncedNames map[string]*inode
	entries     []entry // since it was synced
}

// entry is a change of one name in a directory; without an inode the name goes.
type entry struct {
	name string
	to   *inode
}

// Load reads what is in dir, all of it durable.
func Load(dir string) (*Disk, error) {
	root, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", dir, err)
	}
	return &Disk{root}, nil
}

func load(path string) (*inode, error) {
	i, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	n := &inode{dir: i.IsDir(), mode: i.Mode().Perm(), time: i.ModTime()}
	if !n.dir {
		n.data, err = os.ReadFile(path)
		n.synced = n.data
		return n, err
	}
	n.names = map[string]*inode{}
	all, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if n.names[e.Name()], err = load(filepath.Join(path, e.Name())); err != nil {
			return nil, err
		}
	}
	n.sync()
	return n, nil
}

func (n *inode) sync() {
	if !n.dir {
		n.synced, n.writes = n.data, nil
		return
	}
	n.syncedNames, n.entries = map[string]*inode{}, nil
	for name, to := range n.names {
		n.syncedNames[name] = to
	}
}

func (n *inode) set(name string, to *inode) {
	if to == nil {
		delete(n.names, name)
	} else {
		n.names[name] = to
	}
	n.entries = append(n.entries, entry{name, to})
}

// find gives the directory that path lies in, the name there, and what bears it; nils where there is no such thing.
func (d *Disk) find(path string) (dir *inode, name string, n *inode) {
	if path == "." {
		return nil, "", d.root
	}
	up, name := filepath.Dir(path), filepath.Base(path)
	_, _, dir = d.find(up)
	if dir == nil || !dir.dir {
		return nil, "", nil
	}
	return dir, name, dir.names[name]
}

// Apply carries out operations of a Tape with the same root. What the kernel would refuse changes nothing.
func (d *Disk) Apply(ops ...Did) {
	for _, o := range ops {
		d.apply(o)
	}
}

func (d *Disk) apply(o Did) {
	dir, name, n := d.find(o.Path)
	switch o.Kind {
	case durable.Create:
		if n == nil && dir != nil {
			dir.set(name, &inode{mode: 0o600, time: o.At})
		}
	case durable.Mkdir:
		if n == nil && dir != nil {
			dir.set(name, &inode{dir: true, mode: 0o755, time: o.At, names: map[string]*inode{},
				syncedNames: map[string]*inode{}})
		}
	case durable.Write, durable.Truncate:
		if n != nil && !n.dir {
			n.data, n.time = write(n.data, o), o.At
			n.writes = append(n.writes, o)
		}
	case durable.Chtimes:
		if n != nil {
			n.time = o.At
		}
	case durable.Sync, durable.SyncDir:
		if n != nil {
			n.sync()
		}
	case durable.Remove:
		if n != nil && len(n.names) == 0 {
			dir.set(name, nil)
		}
	case durable.Rename, durable.Link:
		to, toName, there := d.find(o.To)
		if n == nil || to == nil || o.Kind == durable.Link && there != nil {
			return
		}
		to.set(toName, n)
		if o.Kind == durable.Rename {
			dir.set(name, nil)
		}
	}
}

// write gives b as a Write or Truncate leaves it; b itself stays as it was.
func write(b []byte, o Did) []byte {
	size := len(b)
	switch {
	case o.Kind == durable.Truncate:
		size = int(o.Offset)
	case len(o.Data) > 0:
		size = max(size, int(o.Offset)+len(o.Data))
	}
	out := make([]byte, size)
	copy(out, b)
	if o.Kind == durable.Write {
		copy(out[o.Offset:], o.Data)
	}
	return out
}

// Seen writes what programs see to the empty directory to: what the files are after the program was killed and the
// computer was not.
func (d *Disk) Seen(to string) error {
	return d.root.save(to, func(n *inode) ([]byte, map[string]*inode) { return n.data, n.names })
}

// PowerCut writes to the empty directory to what may be there after a power cut. Changes that were not synced are there
// or not by chance, names and content by themselves; of an unsynced write any of its sectors may be missing and read
// as zeros or as before. The bias is the chance for each change, from 0 to 1.
func (d *Disk) PowerCut(to string, r *rand.Rand, bias float64) error {
	stays := func() bool { return r.Float64() < bias }
	return d.root.save(to, func(n *inode) ([]byte, map[string]*inode) {
		if n.dir {
			names := map[string]*inode{}
			for name, to := range n.syncedNames {
				names[name] = to
			}
			for _, e := range n.entries {
				if !stays() {
					continue
				}
				if e.to == nil {
					delete(names, e.name)
				} else {
					names[e.name] = e.to
				}
			}
			return nil, names
		}
		data := n.synced
		for _, o := range n.writes {
			if o.Kind == durable.Truncate {
				if stays() {
					data = write(data, o)
				}
				continue
			}
			for part := range sectors(o) {
				if stays() {
					data = write(data, part)
				}
			}
		}
		return data, nil
	})
}

const sector = 512

// sectors cuts a Write where a disk would.
func sectors(o Did) func(func(Did) bool) {
	return func(yield func(Did) bool) {
		for b, at := o.Data, o.Offset; len(b) > 0; {
			n := min(len(b), int(sector-at%sector))
			part := o
			part.Data, part.Offset = b[:n], at
			if !yield(part) {
				return
			}
			b, at = b[n:], at+int64(n)
		}
	}
}

func (n *inode) save(path string, is func(*inode) ([]byte, map[string]*inode)) error {
	data, names := is(n)
	if !n.dir {
		if err := os.WriteFile(path, data, n.mode); err != nil {
			return err
		}
		return os.Chtimes(path, n.time, n.time)
	}
	if err := os.Mkdir(path, n.mode|0o700); err != nil && !os.IsExist(err) {
		return err
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // so that chance falls the same way for the same seed
	for _, name := range sorted {
		if err := names[name].save(filepath.Join(path, name), is); err != nil {
			return err
		}
	}
	return nil
}
