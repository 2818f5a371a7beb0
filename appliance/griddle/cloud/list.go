package cloud

import (
	"strconv"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/state"
)

// listedStack is a stack as `griddle cloud list --output json` shows it.
type listedStack struct {
	*state.State
	Made    int      `json:"made"`              // servers
	Volumes []string `json:"volumes,omitempty"` // that were made
	Summary string   `json:"summary,omitempty"` // empty where there are servers
}

func (g *Commands) listCommand() *cobra.Command {
	var out cli.Output
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the stacks that were brought up from here",
		Long:  "List the stacks that were brought up from here, with their providers and servers. Nobody is asked.",
		Args:  cobra.NoArgs,
	}
	out.Add(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := g.Folder()
		if err != nil {
			return err
		}
		known := state.Stacks{Dir: dir + "/stacks"}
		names, err := known.Names()
		if err != nil {
			return err
		}
		states := []listedStack{}
		for _, n := range names {
			s, err := known.Load(n)
			if err != nil {
				return err
			}
			states = append(states, listedStack{s, s.CountServers(), s.Volumes(), s.Summary()})
		}
		if out.JSON() {
			return cli.WriteJSON(g.E.Stdout, states)
		}
		var rows [][]string
		for _, s := range states {
			rows = append(rows, []string{s.Stack, s.Provider, strconv.Itoa(s.Made), s.Summary})
		}
		return cli.WriteTable(g.E.Stdout, []string{"STACK", "PROVIDER", "SERVERS", "NOTE"}, rows)
	}
	return c
}
