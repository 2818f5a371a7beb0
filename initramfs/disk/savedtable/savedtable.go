// Package savedtable gives a disk back the partition table that it had before a layout changed it.
//
// Call Look with a table that was saved (job.SavedTable), the path of a disk and the partitions of it whose content is
// given up. It says what changes, and refuses a disk that is not the one, and one on which data would be lost that no
// one gave up. Then call Change.Restore.
//
// A partition of the saved table begins where it began. Look compares it with the one of today that begins there:
//
//	today              saved            what becomes of it
//	the same           the same         it stays
//	smaller            larger           it becomes larger; the filesystem in it keeps its size
//	larger             smaller          refused: the end of its filesystem would be cut off
//	none               one              it comes back, with what is in that place now
//	one                none             it is lost, and has to be given up by its number
//
// Guarantees: Look changes nothing. Restore writes the places of the table and no other byte, after it has looked
// again, and is durable on return; a power cut leaves one whole copy of the old or the new table, and the same call
// completes it. The disk is opened alone: one of which something is mounted, or part of an array, is refused.
package savedtable

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/entries"
	"griddle/initramfs/disk/table"
)

// Errors of Look. Nothing was changed.
var (
	// ErrOther means that the table is that of another disk.
	ErrOther = errors.New("the saved table is that of another disk")
	// ErrLost means that data would be lost.
	ErrLost = errors.New("data would be lost")
)

const sys = "/sys"

// Change is what Restore does.
type Change struct {
	Lines []string // a line each; none if the disk has the table already
	Lost  []int    // the partitions of today that are lost, by their numbers

	saved job.SavedTable
	path  string
	lose  []int
}

// Look says what giving a disk its table back changes. lose are the partitions of today that are given up.
func Look(saved job.SavedTable, path string, lose []int) (*Change, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening disk: %w", err)
	}
	defer f.Close()
	return look(saved, path, f, lose)
}

func look(saved job.SavedTable, path string, f *os.File, lose []int) (*Change, error) {
	fail := func(err error) (*Change, error) {
		return nil, fmt.Errorf("giving %s its partition table of before: %w; nothing was changed", path, err)
	}
	d, err := disk.Find(os.DirFS(sys), disk.Open, path)
	if err != nil {
		return fail(err)
	}
	t, err := entries.Load(saved.Table, d.Size, d.SectorSize)
	if err := cmp.Or(other(saved, d), err); err != nil {
		return fail(err)
	}
	c, err := compare(t, d)
	if err == nil && t.Kind() == entries.GPT {
		err = mbr(f)
	}
	if err != nil {
		return fail(err)
	}
	c.saved, c.path, c.lose = saved, path, lose
	left := slices.DeleteFunc(slices.Clone(c.Lost), func(n int) bool { return slices.Contains(lose, n) })
	if len(left) > 0 {
		return fail(fmt.Errorf("%w: the table of before has not %s; copy what you need of it, and give it up with "+
			"--lose %s", ErrLost, partitions(d, left), numbers(c.Lost)))
	}
	if same, err := t.On(f); err != nil {
		return fail(err)
	} else if same {
		c.Lines = nil
	}
	return c, nil
}

// other says why a table cannot be that of a disk. What only one of them says does not count.
func other(saved job.SavedTable, d disk.Disk) error {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	if differ(saved.Serial, d.Serial) || differ(saved.WWN, d.WWN) || saved.Size != d.Size ||
		saved.SectorSize != d.SectorSize {
		return fmt.Errorf("%w: serial %q, WWN %q, %d bytes, sectors of %d; this one has %q, %q, %d, %d", ErrOther,
			saved.Serial, saved.WWN, saved.Size, saved.SectorSize, d.Serial, d.WWN, d.Size, d.SectorSize)
	}
	return nil
}

// compare says what a disk has today and what with a table.
func compare(t *entries.Table, d disk.Disk) (*Change, error) {
	c := &Change{}
	switch {
	case d.Table != "" && d.Table != t.Kind():
		return nil, fmt.Errorf("%w: the disk has a table of kind %s now, and %s was saved: all of the disk was used "+
			"for something else since", ErrLost, d.Table, t.Kind())
	case d.GUID != "" && t.ID() != "" && d.GUID != t.ID():
		return nil, fmt.Errorf("%w: the disk has another table since, %s, and %s was saved: all of the disk was used "+
			"for something else since", ErrLost, d.GUID, t.ID())
	case d.Signature.Type != "":
		return nil, fmt.Errorf("%w: the disk has %s without partitions now", ErrLost, job.Printable(d.Signature.Type))
	case d.Damaged != "":
		c.Lines = append(c.Lines, "the partition table is damaged: "+job.Sentence(d.Damaged)+"; it becomes whole")
	}
	saved := t.Entries()
	for _, p := range d.Partitions {
		at := slices.IndexFunc(saved, func(e entries.Entry) bool { return e.Start == p.Start })
		switch {
		case p.Type == extended:
		case at < 0:
			c.Lost = append(c.Lost, p.Number)
			c.Lines = append(c.Lines, fmt.Sprintf("%s is LOST", words(p)))
		case saved[at].Size < p.Size:
			return nil, fmt.Errorf("%w: %s would become smaller, %s: its end would be cut off", ErrLost, words(p),
				job.Bytes(saved[at].Size))
		case saved[at].Size > p.Size:
			c.Lines = append(c.Lines, fmt.Sprintf("%s becomes larger, %s; what is in it keeps its size", words(p),
				job.Bytes(saved[at].Size)))
		case saved[at].Number != p.Number || saved[at].Type != p.Type || saved[at].Name != p.Name:
			c.Lines = append(c.Lines, fmt.Sprintf("%s becomes number %d, of type %s", words(p), saved[at].Number,
				job.Printable(saved[at].Type)))
		}
	}
	for _, e := range saved {
		if e.Type != extended && !slices.ContainsFunc(d.Partitions, func(p content.Partition) bool {
			return p.Start == e.Start
		}) {
			c.Lines = append(c.Lines, fmt.Sprintf("partition %d, %s, %s, comes back", e.Number, job.Printable(e.Type),
				job.Bytes(e.Size)))
		}
	}
	c.Lines = append(c.Lines, "the first sector of the disk, with the program of its boot record, is the one of before")
	return c, nil
}

// mbr refuses a disk with an MBR that has partitions of its own: another program made them since.
func mbr(f io.ReaderAt) error {
	const first, each, kind, protective = 446, 16, 4, 0xee // UEFI 2.10 section 5.2
	b := make([]byte, 512)
	if _, err := f.ReadAt(b, 0); err != nil {
		return fmt.Errorf("reading the first sector: %w", err)
	}
	for at := first; at < 510; at += each {
		if k := b[at+kind]; b[510] == 0x55 && b[511] == 0xaa && k != 0 && k != protective {
			return fmt.Errorf("%w: the disk has an MBR with partitions of its own now, and a GPT was saved", ErrLost)
		}
	}
	return nil
}

// extended is the type of the partition that has the logical ones in it.
const extended = "extended"

// words are a partition of today.
func words(p content.Partition) string {
	what := job.Printable(cmp.Or(p.Signature.Type, p.Type, "unknown content"))
	if l := job.Printable(p.Signature.Label); l != "" {
		what += fmt.Sprintf(" %q", l)
	}
	if p.Mark.Finished {
		what += " with systems and data of Griddle"
	}
	return fmt.Sprintf("partition %d, %s, %s,", p.Number, what, job.Bytes(p.Size))
}

// partitions are those with some numbers, in an error.
func partitions(d disk.Disk, numbers []int) string {
	var out []string
	for _, p := range d.Partitions {
		if slices.Contains(numbers, p.Number) {
			out = append(out, strings.TrimSuffix(words(p), ","))
		}
	}
	return strings.Join(out, "; ")
}

func numbers(list []int) string {
	var out []string
	for _, n := range list {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ",")
}

// Restore does what Look said, and tells the kernel which partitions the disk has then.
func (c *Change) Restore() error {
	f, err := disk.Claim(c.path)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	err = c.restore(f)
	return errors.Join(err, f.Close())
}

func (c *Change) restore(f *os.File) error {
	now, err := look(c.saved, c.path, f, c.lose)
	if err != nil {
		return err
	}
	if !slices.Equal(now.Lines, c.Lines) || !slices.Equal(now.Lost, c.Lost) {
		return fmt.Errorf("the partition table of %s has changed since it was looked at; nothing was changed", c.path)
	}
	if len(c.Lines) == 0 {
		return nil
	}
	size, sector, err := disk.Geometry(f)
	if err != nil {
		return err
	}
	if err := entries.Restore(f, size, sector, c.saved.Table); err != nil {
		return fmt.Errorf("%w; call it again", err)
	}
	t, err := entries.Read(f, size, sector)
	if err != nil {
		return fmt.Errorf("reading what was written: %w", err)
	}
	want, err := entries.Load(c.saved.Table, size, sector)
	if err != nil || !reflect.DeepEqual(t.Entries(), want.Entries()) {
		return errors.Join(err, errors.New("the disk does not have the partitions that were written: it may be "+
			"defective"))
	}
	var parts []table.Part
	for _, e := range t.Entries() {
		if e.Type != extended {
			parts = append(parts, table.Part{Number: e.Number, Start: e.Start, Size: e.Size})
		}
	}
	return table.Announce(f, sys, parts)
}
