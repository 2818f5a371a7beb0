package bootcopy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
)

// digest is the SHA-256 of a file.
type digest = [sha256.Size]byte

// content is a file of a copy.
type content struct {
	from   string // in the root
	size   int64
	digest digest
	time   time.Time // of the marker, in whole seconds, by which GRUB compares; zero of other files
}

// maxSmall is how large the files beside kernel and initrd can be, in bytes.
const maxSmall = 1 << 20

// small are the files beside kernel and initrd, which a root may have; their names are the same in both.
var small = []string{bootloader.Marker, bootloader.BaseMarker, arguments.File}

// wanted is what GRUB reads of a root from which a kernel is about to be removed, by the names in a copy.
func wanted(root *os.Root, removed string) (map[string]content, error) {
	k, err := bootloader.FindOtherKernel(root, removed)
	if err == nil && k.Initrd == "" || errors.Is(err, bootloader.ErrNoKernel) {
		return nil, ErrNoInitrd
	}
	if err != nil {
		return nil, err
	}
	out := map[string]content{}
	for name, from := range map[string]string{kernelFile: k.Path, initrdFile: k.Initrd} {
		if out[name], err = summed(root, from); err != nil {
			return nil, err
		}
	}
	for _, name := range small {
		if st, err := root.Lstat(name); err != nil || !st.Mode().IsRegular() || st.Size() > maxSmall {
			continue // GRUB takes a root without it
		}
		if out[name], err = summed(root, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read is what a copy has.
func read(dir string) (map[string]content, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out := map[string]content{}
	for _, name := range append([]string{kernelFile, initrdFile}, small...) {
		if st, err := root.Lstat(name); err != nil || !st.Mode().IsRegular() {
			continue
		}
		if out[name], err = summed(root, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// summed reads a file.
func summed(root *os.Root, name string) (content, error) {
	f, err := root.Open(name)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	if !st.Mode().IsRegular() {
		return content{}, fmt.Errorf("%s is not a file", name)
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	c := content{from: name, size: n, digest: digest(h.Sum(nil))}
	if name == bootloader.Marker {
		c.time = time.Unix(st.ModTime().Unix(), 0)
	}
	return c, err
}

// same says whether two copies have the same.
func same(a, b map[string]content) bool {
	return maps.EqualFunc(a, b, func(x, y content) bool {
		return x.digest == y.digest && x.time.Equal(y.time)
	})
}

// linked is a file of a whole copy with this content, "" if there is none. A marker has a time of its own.
func (c *copies) linked(f content) string {
	if !f.time.IsZero() {
		return ""
	}
	return c.known[f.digest]
}

// whole is what the kernel of a copy is called until all else of it is durable.
const whole = kernelFile + ".new"

// write writes a copy, and is done when it is durable.
func (c *copies) write(root *os.Root, name string, n int, want map[string]content) error {
	dir := c.copy(name, n)
	if err := c.d.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	folders := map[string]bool{dir: true}
	for _, file := range slices.Sorted(maps.Keys(want)) {
		to := filepath.Join(dir, file)
		if file == kernelFile {
			to = filepath.Join(dir, whole)
		}
		if up := filepath.Dir(to); !folders[up] {
			folders[up] = true
			if err := c.d.MkdirAll(up, 0o700); err != nil {
				return err
			}
		}
		if err := c.file(root, want[file], to); err != nil {
			return err
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if err := c.d.SyncDir(folder); err != nil {
			return err
		}
	}
	if err := c.d.Rename(filepath.Join(dir, whole), filepath.Join(dir, kernelFile)); err != nil {
		return err
	}
	return c.d.SyncDir(dir)
}

// file writes one file of a copy, and reads it back.
func (c *copies) file(root *os.Root, f content, to string) error {
	if from := c.linked(f); from != "" {
		return c.d.Link(from, to)
	}
	from, err := root.Open(f.from)
	if err != nil {
		return err
	}
	defer from.Close()
	out, err := c.d.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// A pipe or a file that grows would have no end.
	_, err = io.Copy(out, io.LimitReader(from, f.size))
	if err == nil && !f.time.IsZero() {
		err = c.d.Chtimes(to, f.time)
	}
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	got, err := summed(dir, filepath.Base(to))
	if err == nil && got.digest != f.digest {
		err = fmt.Errorf("the copy of %s has another content than the file in the root: it changed meanwhile, or the "+
			"disk fails", f.from)
	}
	return err
}
