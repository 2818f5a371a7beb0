package care

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"griddle/appliance/job"
	"griddle/initramfs/disk/savedtable"
)

// formerTable is `griddle-agent recover former-table`. file is "" for the table that this machine kept.
func (c *Command) formerTable(file, disk, lose string, yes bool) error {
	if disk == "" {
		return usage("griddle-agent recover former-table needs --disk DISK\n\n%s", recoverHelp)
	}
	given, err := parseNumbers(lose)
	if err != nil {
		return err
	}
	saved, err := c.savedTable(file, disk)
	if err != nil {
		return err
	}
	change, err := savedtable.Look(saved, disk, given)
	if err != nil {
		return err
	}
	if len(change.Lines) == 0 {
		fmt.Fprintf(c.Out, "Nothing to do: %s has the partition table of before already.\n", disk)
		return nil
	}
	fmt.Fprintf(c.Out, "%s gets back the partition table that it had before job %s. THIS CHANGES:\n", disk,
		job.Printable(saved.Job))
	lines(c.Out, change.Lines)
	if err := c.typed("To do it, type the name of the disk", disk, yes); err != nil {
		return err
	}
	if err := change.Restore(); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s has the partition table of before.\n", disk)
	return nil
}

// parseNumbers reads a list such as "5,6".
func parseNumbers(list string) (out []int, err error) {
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, usage("--lose takes numbers of partitions, such as 5,6, and not %q", list)
		}
		out = append(out, n)
	}
	return out, nil
}

// savedTable reads a table from a file, or finds the one of a disk among those that the boot image and the pool on the
// disk have.
func (c *Command) savedTable(file, disk string) (job.SavedTable, error) {
	if file != "" {
		b, err := readSmall(file)
		if err != nil {
			return job.SavedTable{}, err
		}
		return job.ParseSavedTable(b)
	}
	all, err := c.savedTables(disk)
	if err != nil {
		return job.SavedTable{}, err
	}
	var found []job.SavedTable
	why := errors.New("there is none on this machine; `griddle machine tables` on the server has those of its jobs")
	for _, t := range all {
		if _, err := savedtable.Look(t, disk, nil); err == nil || !errors.Is(err, savedtable.ErrOther) {
			found = append(found, t)
		} else {
			why = err
		}
	}
	switch {
	case len(found) == 0:
		return job.SavedTable{}, fmt.Errorf("finding a saved partition table of %s: %w", disk, why)
	case len(found) > 1 && found[0].Job != found[1].Job:
		return job.SavedTable{}, fmt.Errorf("finding a saved partition table of %s: there are %d; name the file of one",
			disk, len(found))
	}
	return found[0], nil
}

// savedTables are those in the folders of c, and those in the pool on a disk, if it has one.
func (c *Command) savedTables(disk string) (out []job.SavedTable, err error) {
	var texts [][]byte
	for _, dir := range c.Tables {
		names, err := filepath.Glob(filepath.Join(dir, "table-*.json"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			b, err := readSmall(name)
			if err != nil {
				return nil, err
			}
			texts = append(texts, b)
		}
	}
	if p, err := c.Pool(disk); err == nil {
		kept, err := p.FormerTables()
		if err := errors.Join(err, p.Close()); err != nil {
			return nil, err
		}
		texts = append(texts, kept...)
	}
	for _, b := range texts {
		t, err := job.ParseSavedTable(b)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// readSmall reads the file of a table.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; `griddle machine tables` on the server makes such files", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, job.MaxSavedTable+1))
	if err != nil {
		return nil, fmt.Errorf("reading a saved partition table: %w", err)
	}
	return b, nil
}
