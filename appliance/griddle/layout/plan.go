package layout

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

func planCommand(e *cli.Env) *cobra.Command {
	var disks, pool string
	var width int
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a layout would do to the disks of a machine, and change nothing",
		Long: "Apply a layout to the disks of a machine, and show these disks today and tomorrow, what is lost, " +
			"what\n" +
			"shrinks, what stays, and each step. The disks come from a file: what `griddle machine show -o json` " +
			"prints,\n" +
			"or the list of disks alone. A layout that does not fit is refused, with all reasons.",
		Example: "  griddle machine show lab-7 -o json >lab-7.json\n" +
			"  griddle layout plan beside-windows.yaml --disks lab-7.json\n" +
			"  griddle layout plan whole-disk.yaml --disks lab-7.json --pool 40G -o json",
		Args: cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Files),
		RunE: func(_ *cobra.Command, args []string) error {
			if disks == "" {
				return cli.Usagef("--disks is missing: a file with what `griddle machine show MACHINE -o json` prints")
			}
			in := plan.Input{}
			var err error
			if in.Pool, err = poolSize(pool); err != nil {
				return err
			}
			if in.Layout, err = read(args[0]); err != nil {
				return err
			}
			if in.Disks, err = readDisks(disks); err != nil {
				return err
			}
			p, err := plan.Make(in)
			if err != nil {
				return err
			}
			return e.Print(p, func(w io.Writer) error {
				_, err := io.WriteString(w, p.Text(width))
				return err
			})
		},
	}
	c.Flags().StringVar(&disks, "disks", "", "`FILE` with the machine or its disks, as JSON")
	c.Flags().StringVar(&pool, "pool", "", "least `SIZE` of the pool, such as 40G; without it as small as btrfs can be")
	c.Flags().IntVar(&width, "width", 100, "`COLUMNS` of the drawing, 40 to 400")
	c.PreRunE = func(*cobra.Command, []string) error {
		if width < 40 || width > 400 {
			return cli.Usagef("--width: %d is not between 40 and 400", width)
		}
		return nil
	}
	return c
}

// poolSize reads the value of --pool.
func poolSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	s, err := layout.ParseSize(text)
	if err == nil && s.Bytes == 0 {
		err = fmt.Errorf("%q is not a size in bytes", text)
	}
	if err != nil {
		return 0, cli.Usage(fmt.Errorf("--pool: %w", err))
	}
	return s.Bytes, nil
}

// readDisks reads an inventory, or disks alone. What it has is cut as the server cuts what machines report.
func readDisks(name string) ([]job.Disk, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the disks: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, job.MaxBody+1))
	if err == nil && len(b) > job.MaxBody {
		err = fmt.Errorf("it has more than %d bytes", job.MaxBody)
	}
	var shown struct { // what `griddle machine show` prints, or its inventory
		job.Inventory
		Machine *job.Inventory `json:"inventory"`
	}
	if err == nil && json.Unmarshal(b, &shown.Disks) != nil {
		err = json.Unmarshal(b, &shown)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the disks of %s: %w", name, err)
	}
	if shown.Machine != nil {
		shown.Inventory = *shown.Machine
	}
	return shown.Bounded().Disks, nil
}
