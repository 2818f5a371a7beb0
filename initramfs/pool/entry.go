package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk/entries"
	"griddle/initramfs/nvram"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"
)

// Titles of the boot entries of the firmware: of the only disk of a pool, or the first one of a mirror, and of the
// other one.
const (
	Title      = "Griddle"
	OtherTitle = "Griddle on another disk"
)

// Loader is what the firmware knows a partition by: number is that of an EFI system partition on the disk at path,
// which has size bytes. Title and File are empty.
func Loader(path string, size int64, sectorSize, number int) (l nvram.Loader, err error) {
	f, err := os.Open(path)
	if err != nil {
		return l, fmt.Errorf("making a boot entry: %w", err)
	}
	defer f.Close()
	t, err := entries.Read(f, size, sectorSize)
	if err != nil {
		return l, fmt.Errorf("making a boot entry: %w", err)
	}
	all := t.Entries()
	at := slices.IndexFunc(all, func(e entries.Entry) bool { return e.Number == number })
	if at < 0 {
		return l, fmt.Errorf("making a boot entry: the table of %s has no partition %d", path, number)
	}
	l = nvram.Loader{Partition: number, Start: all[at].Start, Size: all[at].Size, SectorSize: sectorSize,
		GUID: all[at].UUID}
	if t.Kind() == mbr {
		id, err := strconv.ParseUint(t.ID(), 16, 32)
		if err != nil {
			return l, fmt.Errorf("making a boot entry: the MBR of %s has the signature %q: %w", path, t.ID(), err)
		}
		l.GUID, l.Signature = "", uint32(id)
	}
	return l, nil
}

// loaders are what the firmware starts the pool by, a loader for each of its disks whose EFI system partition is known.
func (p *Pool) loaders() (out []nvram.Loader, err error) {
	for i, h := range p.Halves() {
		if h.espNumber == 0 {
			continue
		}
		l, err := Loader(h.Disk, h.Size, h.SectorSize, h.espNumber)
		if err != nil {
			return nil, err
		}
		if l.Title, l.File = Title, bootloader.Fallback; i > 0 {
			l.Title = OtherTitle
		}
		if h.ESPID != "" {
			l.File = bootloader.Loader
		}
		out = append(out, l)
	}
	return out, nil
}

// Entries has the firmware start GRUB from each disk of the pool, by an entry each, as an install makes them. An entry
// that is there keeps its place in the order. Of disks that were replaced, as far as the pool knows their EFI system
// partitions, it deletes the entries; done says that, a sentence each. The firmware has written them on return.
func (p *Pool) Entries(vars *nvram.Vars) (done []string, err error) {
	all, err := p.loaders()
	if err != nil {
		return nil, err
	}
	if len(all) < len(p.Halves()) {
		return nil, errors.Join(errors.New("making boot entries: an EFI system partition is not known"), p.noESP)
	}
	for _, l := range slices.Backward(all) { // the one that is added last comes before the others
		if _, err := vars.Add(l); err != nil {
			return nil, err
		}
	}
	if p.place.Missing > 0 { // who knows which entry is that of the missing disk
		return nil, nil
	}
	known, err := p.knownLoaders()
	if err != nil {
		return nil, err
	}
	for _, l := range known {
		if slices.ContainsFunc(all, func(o nvram.Loader) bool { return samePartition(o, l) }) {
			continue
		}
		gone, others, err := vars.Remove(l, Title, OtherTitle)
		if err != nil {
			return done, err
		}
		for _, e := range gone {
			done = append(done, fmt.Sprintf("the boot entry %s of the disk that was replaced is deleted", e))
		}
		for _, e := range others {
			done = append(done, fmt.Sprintf("the boot entry %s is of the disk that was replaced too, but Griddle did "+
				"not make it: it stays", e))
		}
	}
	return done, p.writeLoaders(known, all)
}

func samePartition(a, b nvram.Loader) bool {
	return strings.EqualFold(a.GUID, b.GUID) && a.Signature == b.Signature
}

// loadersFile is the file in the folder that Persistent opens. A disk that is lost cannot say any more by which
// partition the firmware knows it.
const loadersFile = "loaders.json"

// maxLoaders is how many of them are kept: the disks of a mirror, and some that were replaced while the machine had
// started by a BIOS.
const maxLoaders = 8

// knownLoaders are those that the pool has written down; none if it has not, or if that is damaged.
func (p *Pool) knownLoaders() (out []nvram.Loader, err error) {
	dir, err := Persistent(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	b, err := sysroot.Dir{Root: dir}.Read(loadersFile)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(b, &out) != nil || len(out) > maxLoaders {
		return nil, nil
	}
	return out, nil
}

// writeLoaders writes them down, if they are others than known. They are durable on return.
func (p *Pool) writeLoaders(known, all []nvram.Loader) error {
	if slices.Equal(known, all) {
		return nil
	}
	b, err := json.Marshal(all[:min(len(all), maxLoaders)])
	if err != nil {
		return err
	}
	dir, err := Persistent(p.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := (sysroot.Dir{Root: dir}).Write(loadersFile, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return subvolume.Sync(p.dir)
}

// noteLoaders adds those of now to what the pool knows. The others stay until Entries has deleted what the firmware has
// of them.
func (p *Pool) noteLoaders() error {
	all, err := p.loaders()
	if err != nil {
		return err
	}
	known, err := p.knownLoaders()
	if err != nil {
		return err
	}
	for _, l := range known {
		if !slices.ContainsFunc(all, func(o nvram.Loader) bool { return samePartition(o, l) }) {
			all = append(all, l)
		}
	}
	return p.writeLoaders(known, all)
}

// KnowsMissing says whether the pool knows by which partition the firmware started from a disk that is missing now.
func (p *Pool) KnowsMissing() bool {
	all, err := p.loaders()
	known, bad := p.knownLoaders()
	return errors.Join(err, bad) == nil && slices.ContainsFunc(known, func(l nvram.Loader) bool {
		return !slices.ContainsFunc(all, func(o nvram.Loader) bool { return samePartition(o, l) })
	})
}
