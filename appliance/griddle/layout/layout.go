// Package layout is `griddle layout`: it checks layouts of disks, and shows what they would do to a machine.
package layout

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/layout"
	"griddle/appliance/layout/layoutfile"
)

// Command is `griddle layout`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("layout", "Check layouts of disks, and show what they would do",
		"Check files with layouts: how the disks of a machine are to be divided, and what of them stays. Show what\n"+
			"they would do to the disks of a machine, and change nothing. docs/LAYOUT.md describes the language.",
		checkCommand(e), planCommand(e))
}

func checkCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a layout, and show it in its long form",
		Long: "Check a layout in YAML or JSON, without any disk, and show what it says of each disk and partition.\n" +
			"All mistakes are reported with file, line and column.",
		Example: "  griddle layout check beside-windows.yaml\n" +
			"  griddle layout check whole-disk.yaml -o yaml",
		Args: cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Files),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := read(args[0])
			if err != nil {
				return err
			}
			return e.Print(d, func(w io.Writer) error {
				_, err := io.WriteString(w, d.String())
				return err
			})
		},
	}
}

// read reads and checks a file.
func read(name string) (layout.Document, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return layout.Document{}, fmt.Errorf("reading the layout: %w", err)
	}
	return layoutfile.Parse(name, b)
}
