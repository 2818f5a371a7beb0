package pool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/disk"
	"griddle/initramfs/machinekey"
	"griddle/initramfs/nvram"
)

// Former is the folder that has what the machine started by before Griddle (package former), in the one that Persistent
// opens.
const Former = "former"

// Firmware is what the firmware of this machine says of itself.
type Firmware struct {
	Vars *nvram.Vars // nil without UEFI
	UUID string      // of the machine; "" if it is not known
}

// errMirror refuses a mirror: its other disk would still start the pool.
var errMirror = errors.New("the pool is a mirror, and what its two disks started before cannot be brought back so " +
	"far; nothing was changed")

// GiveBack gives the machine back to what it started by before Griddle, and says what it did. Before, agree gets what
// changes; it is not asked where nothing does. An error of agree is returned, and nothing was changed. What is in the
// pool stays, but does not start any more. It is durable on return, and can be called again after a power cut.
func (p *Pool) GiveBack(f Firmware, agree func(*former.Change) error) (done []string, err error) {
	err = p.change(func(Contents) (err error) {
		if len(p.place.Others) > 0 || p.place.Missing > 0 {
			return errMirror
		}
		if p.noESP != nil {
			return p.noESP
		}
		m := former.Machine{UUID: f.UUID, ESP: p.esp, Vars: f.Vars,
			BIOS: bootloader.Extent{Start: p.place.BIOS.Start, Size: p.place.BIOS.Size}}
		d, err := disk.Find(os.DirFS("/sys"), disk.Open, p.place.Disk)
		if err != nil {
			return fmt.Errorf("looking at the disk of the pool: %w", err)
		}
		m.Drive = former.Drive{Serial: d.Serial, WWN: d.WWN, Size: d.Size}
		file, err := os.OpenFile(p.place.Disk, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("opening the disk: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		m.Disk = file
		c, err := former.Look(filepath.Join(p.dir, "@persistent", machinekey.Folder, Former), m)
		if err != nil {
			return err
		}
		if len(c.Will) > 0 {
			if err := agree(c); err != nil {
				return err
			}
		}
		done, err = c.Restore()
		return err
	})
	return done, err
}

// Disk is the device file of the disk of the pool.
func (p *Pool) Disk() string { return p.place.Disk }

// FormerTables are the files of the partition tables that the disks had before Griddle (job.SavedTable); none where no
// layout changed one.
func (p *Pool) FormerTables() (out [][]byte, err error) {
	top, err := os.OpenRoot(filepath.Join(p.dir, "@persistent"))
	if err != nil {
		return nil, fmt.Errorf("opening @persistent of the pool: %w", err)
	}
	defer top.Close()
	for n := 1; ; n++ {
		f, err := top.Open(filepath.Join(machinekey.Folder, Former, former.Table(n)))
		if errors.Is(err, fs.ErrNotExist) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a saved partition table: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, job.MaxSavedTable+1))
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("reading a saved partition table: %w", err)
		}
		out = append(out, b)
	}
}
