package former

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader"

	"golang.org/x/sys/unix"
)

// Errors of Look. Nothing was changed.
var (
	ErrNone = errors.New("what this machine started by before Griddle was not kept: only an install by a layout " +
		"keeps it")
	// ErrOther means that what was kept is that of another disk.
	ErrOther = errors.New("what was kept is that of another disk")
	// ErrNothing means that nothing of what was kept starts.
	ErrNothing = errors.New("nothing started before Griddle, so the machine would not start any more")
)

// Change is what Restore does.
type Change struct {
	Will  []string // what changes, a line each; none if all is as before Griddle
	Stays []string // what stays as it is now, and why, a line each

	dir     string
	m       Machine
	kept    kept
	entries bool
	record  bool
	files   []file // that come back
	grub    bool   // is removed
}

// Look says what Restore would change of a machine, by what Save kept in dir. It changes nothing. The partition table
// and files that others have changed stay as they are now: they may be newer than the copy, such as those of a Windows
// that was updated.
func Look(dir string, m Machine) (*Change, error) {
	fail := func(err error) (*Change, error) {
		return nil, fmt.Errorf("restoring what the machine started by: %w; nothing was changed", err)
	}
	c := &Change{dir: dir, m: m}
	var err error
	if c.kept, err = read(dir); errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%w (%w)", ErrNone, err))
	} else if err != nil {
		return fail(err)
	}
	if d := c.kept.Drive; d != nil && !d.is(m.Drive) {
		return fail(fmt.Errorf("%w: of the one with the serial %q and %d bytes, and this one has %q and %d", ErrOther,
			d.Serial, d.Size, m.Drive.Serial, m.Drive.Size))
	}
	if !c.starts() {
		return fail(ErrNothing)
	}
	for _, look := range []func() error{c.lookAtEntries, c.lookAtRecord, c.lookAtFiles} {
		if err := look(); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

// starts says whether something of what was kept can start.
func (c *Change) starts() bool {
	if slices.ContainsFunc(c.kept.Files, func(f file) bool { return strings.EqualFold(path.Ext(f.Path), ".efi") }) {
		return true
	}
	if c.m.Vars != nil {
		return c.kept.NVRAM != nil && c.kept.NVRAM.Files(bootloader.Loader)
	}
	return c.kept.Record != nil && len(bytes.Trim(c.kept.Record[:codeEnd], "\x00")) > 0
}

// codeEnd is where the program of a boot record ends.
const codeEnd = 440

func (c *Change) lookAtEntries() error {
	k := c.kept
	if c.m.Vars == nil || k.NVRAM == nil {
		return nil
	}
	d, err := c.m.Vars.Compare(*k.NVRAM, bootloader.Loader)
	switch {
	case err != nil:
		return err
	case k.UUID != "" && c.m.UUID != "" && k.UUID != c.m.UUID:
		c.Stays = append(c.Stays, "the boot entries of the firmware: those that were kept are of another machine")
		return nil
	case d.Found == 0 && len(k.NVRAM.Entries) > 0 && (k.UUID == "" || c.m.UUID == ""):
		c.Stays = append(c.Stays, "the boot entries of the firmware: it has none of those that were kept, so they "+
			"may be of another machine; set the order in its setup")
		return nil
	}
	lines := d.Lines()
	c.entries, c.Will = len(lines) > 0, append(c.Will, lines...)
	return nil
}

func (c *Change) lookAtRecord() error {
	if c.m.Disk == nil || c.kept.Record == nil {
		return nil
	}
	now := make([]byte, sector)
	if _, err := c.m.Disk.ReadAt(now, 0); err != nil {
		return fmt.Errorf("reading the boot record: %w", err)
	}
	own, err := bootloader.Starts(c.m.Disk, c.m.BIOS)
	if err != nil {
		return err
	}
	c.record = true // also where the record was restored, and a power cut left the room of core.img
	switch {
	case own:
		c.Will = append(c.Will, "the boot record: the program of before, in its first 440 bytes; the table stays")
	case !bytes.Equal(now[:codeEnd], c.kept.Record[:codeEnd]):
		c.record = false
		c.Stays = append(c.Stays, "the boot record: it is not Griddle's, another program changed it since")
	}
	return nil
}

func (c *Change) lookAtFiles() error {
	if c.m.ESP == "" {
		return nil
	}
	newer := 0
	for _, f := range c.kept.Files {
		lost, changed, err := f.look(c.m.ESP)
		if err != nil {
			return fmt.Errorf("%s of the EFI system partition: %w", f.Path, err)
		}
		if changed {
			newer++
		}
		if lost {
			c.files = append(c.files, f)
			c.Will = append(c.Will, f.Path+" of the EFI system partition comes back")
		}
	}
	if newer > 0 {
		c.Stays = append(c.Stays, fmt.Sprintf("files of the EFI system partition that have changed since: %d", newer))
	}
	gone, err := c.own()
	if err != nil {
		return err
	}
	for _, name := range gone {
		c.Will = append(c.Will, name+" of the EFI system partition is deleted: it is Griddle's")
	}
	c.grub = len(gone) > 0
	return c.room()
}

// room refuses what the EFI system partition has no room for: GRUB is removed last.
func (c *Change) room() error {
	var st unix.Statfs_t
	if err := unix.Statfs(c.m.ESP, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: c.m.ESP, Err: err}
	}
	need, cluster := int64(0), max(st.Bsize, 1)
	for _, f := range c.files {
		need += (f.Size+cluster-1)/cluster*cluster + cluster
	}
	if have := int64(st.Bavail) * cluster; need > have {
		return fmt.Errorf("%w: the files that come back need %d KiB, and %d KiB are free; delete what no system needs",
			bootloader.ErrFull, need>>10, have>>10)
	}
	return nil
}

// Restore does what Look said, and says what it did. In this order, each durable before the next: the boot entries and
// their order, the code in the boot record, files that the EFI system partition has no longer, and then GRUB and its
// configuration are removed.
func (c *Change) Restore() (done []string, err error) {
	fail := func(err error) ([]string, error) {
		return done, fmt.Errorf("restoring what the machine started by: %w; it can be started again", err)
	}
	if c.entries {
		if err := c.m.Vars.Restore(*c.kept.NVRAM, bootloader.Loader); err != nil {
			return fail(err)
		}
		done = append(done, "the boot entries of the firmware")
	}
	if c.record {
		if err := bootloader.RemoveBIOS(c.m.Disk, c.m.BIOS, c.kept.Record); err != nil {
			return fail(err)
		}
		done = append(done, "the boot record")
	}
	for _, f := range c.files {
		if err := f.restore(c.dir, c.m.ESP); err != nil {
			return fail(fmt.Errorf("%s of the EFI system partition: %w", f.Path, err))
		}
		done = append(done, f.Path+" of the EFI system partition")
	}
	if c.grub {
		if err := c.remove(); err != nil {
			return fail(err)
		}
		done = append(done, "GRUB is deleted")
	}
	return done, nil
}

// look says whether the partition has lost a file, or has Griddle's image in its place; and whether others changed it.
func (f file) look(esp string) (lost, changed bool, err error) {
	at := filepath.Join(esp, filepath.FromSlash(f.Path))
	st, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return true, false, nil
	}
	if err != nil || !st.Mode().IsRegular() {
		return false, true, err
	}
	griddles, err := bootloader.IsImage(at)
	if err != nil {
		return false, false, err
	}
	same, err := f.is(at)
	return griddles && !same, !griddles && !same, err
}

// is says whether a file is as it was kept.
func (f file) is(at string) (bool, error) {
	st, err := os.Lstat(at)
	if err != nil || st.Size() != f.Size {
		return false, err
	}
	return f.matches(at)
}

// restore writes the file that was kept.
func (f file) restore(dir, esp string) error {
	b, err := f.load(dir)
	if err != nil {
		return err
	}
	to := filepath.Join(esp, filepath.FromSlash(f.Path))
	var d durable.Disk
	if err := d.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return d.Replace(to, b, 0o644)
}

// own is what GRUB has on the partition: our folders, and the image for firmware without boot entries if that is ours
// and was not there before.
func (c *Change) own() (out []string, err error) {
	had := slices.ContainsFunc(c.kept.Files, func(f file) bool {
		return strings.EqualFold(f.Path, bootloader.Fallback)
	})
	griddles, err := bootloader.IsImage(filepath.Join(c.m.ESP, filepath.FromSlash(bootloader.Fallback)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if griddles && !had {
		out = append(out, bootloader.Fallback)
	}
	for _, dir := range own {
		if _, err := os.Lstat(filepath.Join(c.m.ESP, filepath.FromSlash(dir))); err == nil {
			out = append(out, dir)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return out, nil
}

// remove removes GRUB from the partition.
func (c *Change) remove() error {
	gone, err := c.own()
	if err != nil {
		return err
	}
	for _, name := range gone {
		if err := os.RemoveAll(filepath.Join(c.m.ESP, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return syncAll(c.m.ESP)
}
