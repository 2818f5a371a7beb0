package cloud

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"griddle/cloud"
	"griddle/cloud/provider"
)

// pickFlags choose servers.
func pickFlags(c *cobra.Command, p *cloud.Pick) {
	c.Flags().StringVar(&p.Role, "role", "", "the servers of `ROLE`")
	c.Flags().BoolVar(&p.Minimum, "minimum", false, "as many of each role as the stack needs at the least")
	c.Flags().BoolVar(&p.All, "all", false, "all servers")
}

func (g *Commands) controlCommand(a provider.Action, short string) *cobra.Command {
	var p cloud.Pick
	var o cloud.ControlOptions
	c := &cobra.Command{
		Use:   string(a) + " [SERVER...]",
		Short: short,
		Long: short + ", named or picked by a flag, and wait until they are so. Roles are started in their order and stopped in the opposite one." +
			map[bool]string{true: "\nA server that is started or rebooted is waited for until one can log in to the system that it booted."}[a != provider.Stop],
	}
	pickFlags(c, &p)
	if a != provider.Stop {
		c.Flags().BoolVar(&o.NoWait, "no-wait", false, "end as soon as the provider says that the servers run")
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		x, err := g.open(c.Context(), string(a))
		if err != nil {
			return err
		}
		x.Report = cloud.Printer(g.E.Stderr)
		p.Servers = args
		return advise(x.Control(c.Context(), x.s.Name, p, a, o))
	}
	return c
}

func (g *Commands) consoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "console SERVER",
		Short: "Print what a server wrote to its console",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			x, err := g.open(c.Context(), "console")
			if err != nil {
				return err
			}
			p, ok := x.Provider.(provider.Consoler)
			if !ok {
				return fmt.Errorf("%s shows no consoles", x.Provider.Features().Name)
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
	}
}
