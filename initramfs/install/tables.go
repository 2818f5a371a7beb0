package install

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/divide"
)

// remember keeps the record of an entry that has the plan, or the table that a disk had before. What the rescue shell
// needs of them is in files from then on (Options.Tables).
func (d *divided) remember(o Options, e divide.Entry, text json.RawMessage) error {
	if e.Plan == nil && (e.Table == nil || e.After != nil) {
		return nil
	}
	d.records = append(d.records, text)
	if o.Tables == "" || e.Table == nil {
		return nil
	}
	tables, err := d.tables()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Tables, 0o700); err != nil {
		return fmt.Errorf("keeping the partition tables of before: %w", err)
	}
	for i, t := range tables {
		if err := os.WriteFile(filepath.Join(o.Tables, former.Table(i+1)), t, 0o600); err != nil {
			return fmt.Errorf("keeping the partition tables of before: %w", err)
		}
	}
	return nil
}

// tables are the files of the partition tables that the disks had before (job.SavedTable).
func (d *divided) tables() (out [][]byte, err error) {
	saved, err := plan.SavedTables(d.records)
	if err != nil {
		return nil, err
	}
	for _, s := range saved {
		b, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("keeping the partition tables of before: %w", err)
		}
		out = append(out, append(b, '\n'))
	}
	return out, nil
}
