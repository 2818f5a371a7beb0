package cloud

import (
	"io"

	"github.com/spf13/cobra"
)

func (g *Commands) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Aliases: []string{"show"},
		Short:   "Show the servers of a stack as they are now",
		Long:    "Ask the provider which servers and disks the stack has now, and show them.",
		Example: "  griddle cloud status\n  griddle cloud status --file shop.yaml -o json",
		Args:    cobra.NoArgs,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "status")
		if err != nil {
			return err
		}
		s, err := x.Status(c.Context(), x.s.Name)
		if err != nil {
			return err
		}
		return g.E.Print(s, func(w io.Writer) error { return writeStatus(g.E, w, s) })
	}
	return c
}
