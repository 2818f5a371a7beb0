// Package former keeps what a machine started by before Griddle, and brings it back.
//
// Call Save before the first change, with a folder in the pool. To give the machine back to its other systems call
// Look, which says what that changes, and Change.Restore. All take what the machine has of the following.
//
//	DIR/former.json    the boot entries of the firmware and their order; the boot record; whose they are; a list of
//	                   the files
//	DIR/esp/...        the files of the EFI system partition, without those of Griddle
//	DIR/table-N.json   the partition tables of before (package savedtable), from 1 on
//
// Guarantees: Save makes all of it durable, or nothing is there; what it kept first counts, and stays. Look changes
// nothing, and reads and checks all of it. Restore can be called again after a power cut, in any state.
package former

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/nvram"

	"golang.org/x/sys/unix"
)

// Machine is what a machine starts by. What is missing is neither saved nor restored.
type Machine struct {
	UUID   string            // of the machine, as its firmware says; "" if it does not
	Drive  Drive             // the disk of the pool; the zero value if it is not known
	Tables [][]byte          // Save keeps them as they are
	ESP    string            // where the EFI system partition is mounted; "" without one
	Vars   *nvram.Vars       // nil without UEFI
	Disk   bootloader.Disk   // the whole disk whose boot record changes; nil for none
	BIOS   bootloader.Extent // where that has core.img: the BIOS boot partition, or the gap of an MBR
}

// Drive is what tells a disk from others.
type Drive struct {
	Serial string `json:"serial,omitempty"`
	WWN    string `json:"wwn,omitempty"`
	Size   int64  `json:"size"` // bytes
}

// is says whether two descriptions may be of one disk: what only one of them has says nothing.
func (d Drive) is(o Drive) bool {
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	return same(d.Serial, o.Serial) && same(d.WWN, o.WWN) && (d.Size == 0 || o.Size == 0 || d.Size == o.Size)
}

// Bounds of what is kept: a Windows has some hundred files and 100 MB at most.
const (
	maxFiles = 10_000
	maxBytes = 1 << 30
	maxList  = 64 << 20
)

// version is that of former.json.
const version = 1

// kept is former.json.
type kept struct {
	Version int          `json:"version"`
	UUID    string       `json:"uuid,omitempty"`  // of the machine; earlier versions kept neither this
	Drive   *Drive       `json:"drive,omitempty"` // nor this
	NVRAM   *nvram.State `json:"nvram,omitempty"`
	Record  []byte       `json:"record,omitempty"` // the first sector of the disk
	Files   []file       `json:"files,omitempty"`
}

// file is one of the EFI system partition.
type file struct {
	Path   string `json:"path"` // from the top of the partition
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	list   = "former.json"
	folder = "esp"
)

// Table is the name of the file of a partition table, from 1 on.
func Table(n int) string { return fmt.Sprintf("table-%d.json", n) }

// own are the folders of Griddle on an EFI system partition.
var own = []string{"griddle", "EFI/griddle"}

// mine says whether a path on the partition is Griddle's. FAT does not tell capital letters from others.
func mine(path string) bool {
	path = strings.ToLower(path)
	for _, dir := range own {
		dir = strings.ToLower(dir)
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// Save keeps what m has in the folder dir. If that is there already, it stays as it is. What a power cut left of an
// earlier Save is replaced. The rename at the end, synced, makes it durable.
func Save(dir string, m Machine) error {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("keeping what the machine started by so far: %w", err) }
	var d durable.Disk
	half := filepath.Clean(dir) + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fail(err)
	}
	if err := d.MkdirAll(filepath.Join(half, folder), 0o700); err != nil {
		return fail(err)
	}
	k := kept{Version: version, UUID: m.UUID}
	if m.Drive != (Drive{}) {
		k.Drive = &m.Drive
	}
	for i, t := range m.Tables {
		if err := os.WriteFile(filepath.Join(half, Table(i+1)), t, 0o600); err != nil {
			return fail(err)
		}
	}
	if m.Vars != nil {
		s, err := m.Vars.State()
		if err != nil {
			return fail(err)
		}
		k.NVRAM = &s
	}
	if m.Disk != nil {
		k.Record = make([]byte, sector)
		if _, err := m.Disk.ReadAt(k.Record, 0); err != nil {
			return fail(fmt.Errorf("reading the boot record: %w", err))
		}
	}
	if m.ESP != "" {
		var err error
		if k.Files, err = saveFiles(m.ESP, filepath.Join(half, folder)); err != nil {
			return fail(fmt.Errorf("copying the EFI system partition: %w", err))
		}
	}
	b, err := json.MarshalIndent(k, "", "  ")
	if err == nil {
		err = d.Replace(filepath.Join(half, list), b, 0o600)
	}
	if err == nil {
		err = syncAll(half)
	}
	if err == nil {
		err = d.Rename(half, dir)
	}
	if err == nil {
		err = d.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

const sector = 512

// syncAll makes all of the filesystem of a folder durable.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// saveFiles copies all files of from that are not Griddle's. It follows no links.
func saveFiles(from, to string) ([]file, error) {
	esp, err := os.OpenRoot(from)
	if err != nil {
		return nil, err
	}
	defer esp.Close()
	var out []file
	total := int64(0)
	err = fs.WalkDir(esp.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case mine(path) && e.IsDir():
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, path), 0o700)
		case !e.Type().IsRegular() || mine(path):
			return nil
		case len(out) == maxFiles:
			return fmt.Errorf("it has more than %d files", maxFiles)
		}
		f, err := copyFile(esp, path, filepath.Join(to, path), maxBytes-total)
		total += f.Size
		out = append(out, f)
		return err
	})
	return out, err
}

// copyFile copies a file of at most so many bytes.
func copyFile(esp *os.Root, path, to string, limit int64) (file, error) {
	in, err := esp.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return file{}, err
	}
	defer in.Close()
	if st, err := in.Stat(); err != nil || st.Size() > limit {
		return file{}, errors.Join(err, fmt.Errorf("its files have more than %d bytes", int64(maxBytes)))
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return file{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(in, limit+1))
	if n > limit {
		err = fmt.Errorf("its files have more than %d bytes", int64(maxBytes))
	}
	return file{path, n, hex.EncodeToString(sum.Sum(nil))}, errors.Join(err, out.Close())
}

// read reads and checks former.json and the files.
func read(dir string) (kept, error) {
	f, err := os.OpenFile(filepath.Join(dir, list), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return kept{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err != nil {
		return kept{}, err
	}
	k, err := parse(b)
	if err != nil {
		return kept{}, err
	}
	for _, f := range k.Files {
		if _, err := f.load(dir); err != nil {
			return kept{}, err
		}
	}
	return k, nil
}

// parse reads former.json.
func parse(b []byte) (kept, error) {
	var k kept
	if len(b) > maxList {
		return kept{}, fmt.Errorf("%s has more than %d bytes", list, maxList)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return kept{}, fmt.Errorf("reading %s: %w", list, err)
	}
	switch {
	case k.Version != version:
		return kept{}, fmt.Errorf("%s has version %d, and this program reads %d", list, k.Version, version)
	case k.Record != nil && len(k.Record) != sector:
		return kept{}, fmt.Errorf("%s has a boot record of %d bytes", list, len(k.Record))
	case len(k.Files) > maxFiles:
		return kept{}, fmt.Errorf("%s has more than %d files", list, maxFiles)
	}
	seen := map[string]bool{}
	for _, f := range k.Files {
		if !fs.ValidPath(f.Path) || f.Path == "." || mine(f.Path) || seen[f.Path] || f.Size < 0 || f.Size > maxBytes {
			return kept{}, fmt.Errorf("%s names the file %q, which cannot be", list, f.Path)
		}
		seen[f.Path] = true
	}
	return k, nil
}

// load reads a file that was kept, and checks it.
func (f file) load(dir string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Join(dir, folder))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	in, err := root.Open(filepath.FromSlash(f.Path))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, f.Size+1))
	if sum := sha256.Sum256(b); err == nil && hex.EncodeToString(sum[:]) != f.SHA256 {
		err = fmt.Errorf("the copy of %s is damaged", f.Path)
	}
	return b, err
}

// matches says whether the file at a path has the bytes that were kept.
func (f file) matches(at string) (bool, error) {
	in, err := os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer in.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, io.LimitReader(in, f.Size+1))
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == f.SHA256, err
}
