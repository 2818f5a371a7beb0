package build

import (
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
)

func ListCommand(e *cli.Env) *cobra.Command {
	b := &builds{e: e}
	var out cli.Output
	var failed bool
	c := &cobra.Command{
		Use:   "builds [NAME]",
		Short: "List what was built of definitions, and remove what failed",
		Long: "List the definitions of which something was built here or, with the NAME of one, everything that was made of it, with the\n" +
			"state of each step. --remove-failed takes away what failed or ended steps left with their targets, and forgets them.",
		Args: cobra.MaximumNArgs(1),
	}
	b.add(c)
	out.Add(c)
	c.Flags().BoolVar(&failed, "remove-failed", false, "remove what did not come to its end")
	c.RunE = func(c *cobra.Command, args []string) error {
		if failed && len(args) == 0 {
			return cli.Usagef("--remove-failed needs the NAME of a definition")
		}
		builder, err := b.builder(c.Context())
		if err != nil {
			return err
		}
		if len(args) == 0 {
			names, err := builder.Names()
			if err != nil {
				return err
			}
			if out.JSON() {
				return cli.WriteJSON(e.Stdout, names)
			}
			for _, n := range names {
				fmt.Fprintln(e.Stdout, n)
			}
			return nil
		}
		if failed {
			gone, err := builder.RemoveFailed(c.Context(), args[0])
			if !out.JSON() {
				fmt.Fprintf(e.Stderr, "%d steps removed\n", len(gone))
			}
			if err != nil {
				return err
			}
		}
		steps, err := builder.Artefacts(c.Context(), args[0])
		if err != nil {
			return err
		}
		return b.print(steps, builder.Cache, out.JSON())
	}
	return c
}
