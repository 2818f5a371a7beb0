package cloud

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
)

func (g *Commands) statusCommand() *cobra.Command {
	var out cli.Output
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a stack is now",
		Long:  "Ask the provider what the stack has, and show it.",
		Args:  cobra.NoArgs,
	}
	out.Add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "status")
		if err != nil {
			return err
		}
		s, err := x.Status(c.Context(), x.s.Name)
		if err != nil {
			return err
		}
		if out.JSON() {
			return cli.WriteJSON(g.E.Stdout, s)
		}
		return writeStatus(g.E.Stdout, s)
	}
	return c
}
