package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) tablesCommand() *cobra.Command {
	var serial, file string
	c := &cobra.Command{
		Use:   "tables MACHINE",
		Short: "Show the partition tables from before a layout",
		Long: "Show the partition tables that the disks of a machine had before the layout of its last job changed\n" +
			"them. The server has them until the job is done; then the machine itself has them, in its pool.\n\n" +
			"With --save, write the one of a disk to a file, with which `griddle-agent recover former-table` gives\n" +
			"the disk its table back (docs/LAYOUT.md).",
		Example: "  griddle machine tables node7\n  griddle machine tables node7 --disk S5GXNX0R --save table.json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			if serial != "" && file == "" {
				return cli.Usage(errors.New("--disk says which table --save writes: add --save FILE"))
			}
			got, err := client.SavedTables(ctx, args[0])
			if err != nil {
				return err
			}
			if file != "" {
				return m.saveTable(got.Tables, serial, file)
			}
			return m.e.Print(got, func(w io.Writer) error { return tableTable(w, got.Tables) })
		}),
	}
	c.Flags().StringVar(&serial, "disk", "", "`SERIAL` of the disk, where there are several")
	c.Flags().StringVar(&file, "save", "", "`FILE` to write the table to; it must not exist")
	return c
}

// tableTable lists tables for people.
func tableTable(w io.Writer, tables []job.SavedTable) error {
	if len(tables) == 0 {
		_, err := fmt.Fprintln(w, "no tables: no job of this machine that is not done has changed one")
		return err
	}
	for _, t := range tables {
		if _, err := fmt.Fprintf(w, "disk %s, %s, from before job %s\n", nameOf(t), job.Bytes(t.Size),
			job.Printable(t.Job)); err != nil {
			return err
		}
	}
	return nil
}

// nameOf is a disk by its serial, or its WWN.
func nameOf(t job.SavedTable) string {
	if t.Serial == "" {
		return or(job.Printable(t.WWN), "without a serial")
	}
	return job.Printable(t.Serial)
}

// saveTable writes the table of a disk to a new file.
func (m *machines) saveTable(tables []job.SavedTable, serial, file string) error {
	var found []job.SavedTable
	for _, t := range tables {
		if serial == "" || t.Serial == serial || t.WWN == serial {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0 && serial != "":
		return fmt.Errorf("there is no saved table of the disk %s; `griddle machine tables` lists them", serial)
	case len(found) == 0:
		return errors.New("there is no saved table: no job of this machine that is not done has changed one")
	case len(found) > 1:
		return fmt.Errorf("there are %d saved tables: say which with --disk SERIAL", len(found))
	}
	b, err := json.Marshal(found[0])
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("saving the table: %w", err)
	}
	_, err = out.Write(append(b, '\n'))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("saving the table: %w", err)
	}
	m.e.Say("saved the table of disk " + nameOf(found[0]) + " to " + file)
	return nil
}
