package cloud

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud"
	"griddle/cloud/provider"
)

// pickFlags choose servers.
func pickFlags(c *cobra.Command, p *cloud.Pick) {
	c.Flags().StringVar(&p.Role, "role", "", "the servers of `ROLE`")
	c.Flags().BoolVar(&p.Minimum, "minimum", false, "the smallest number of servers of each role that the stack needs")
	c.Flags().BoolVar(&p.All, "all", false, "all servers")
}

func (g *Commands) controlCommand(a provider.Action, short string) *cobra.Command {
	var p cloud.Pick
	var o cloud.ControlOptions
	c := &cobra.Command{
		Use:   string(a) + " [SERVER...]",
		Short: short,
		Long: short + ", by name or chosen by a flag, and wait until that is done. Roles start in their order and " +
			"stop in reverse." +
			map[bool]string{true: "\nThe command waits until one can log in to the system that each server " +
				"booted."}[a != provider.Stop],
		Example:           fmt.Sprintf("  griddle cloud %s web-1 web-2\n  griddle cloud %s --role worker", a, a),
		ValidArgsFunction: cli.Each(g.servers),
	}
	pickFlags(c, &p)
	if a != provider.Stop {
		c.Flags().BoolVar(&o.NoWait, "no-wait", false, "do not wait until one can log in")
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.open(c.Context(), string(a))
		if err != nil {
			return err
		}
		x.Report = g.report(g.E.Stderr)
		p.Servers = args
		return advise(x.Control(c.Context(), x.s.Name, p, a, o))
	}
	return c
}

func (g *Commands) consoleCommand() *cobra.Command {
	return cli.Raw(&cobra.Command{
		Use:     "console SERVER",
		Short:   "Print what a server wrote to its console",
		Example: "  griddle cloud console web-1",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
		RunE: func(c *cobra.Command, args []string) error {
			x, err := g.open(c.Context(), "console")
			if err != nil {
				return err
			}
			p, ok := x.Provider.(provider.Consoler)
			if !ok {
				return fmt.Errorf("the provider %s has no consoles", x.Provider.Features().Name)
			}
			all, err := x.Provider.List(c.Context(), x.s.Name)
			if err != nil {
				return err
			}
			for _, r := range all {
				if r.Kind == provider.KindServer && r.Name == args[0] {
					b, err := p.Console(c.Context(), r)
					if err == nil {
						_, err = g.E.Stdout.Write(b)
					}
					return err
				}
			}
			return fmt.Errorf("the stack %s has no server %q: %w", x.s.Name, args[0], os.ErrNotExist)
		},
	})
}
