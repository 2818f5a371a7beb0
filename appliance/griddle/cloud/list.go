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
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the stacks that were created on this computer",
		Long: "List the stacks that were created on this computer, with their providers and servers. No " +
			"provider is asked.",
		Example: "  griddle cloud list\n  griddle cloud list --filter provider=ec2 -o json",
		Args:    cobra.NoArgs,
	}
	list := cli.List[listedStack]{Columns: []cli.Column[listedStack]{
		{Name: "stack", Text: func(s listedStack) string { return s.Stack }},
		{Name: "provider", Text: func(s listedStack) string { return s.Provider }},
		{Name: "servers", Text: func(s listedStack) string { return strconv.Itoa(s.Made) }},
		{Name: "note", Text: func(s listedStack) string { return s.Summary }},
	}}
	list.Flags(c)
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
		return list.Print(g.E, states)
	}
	return c
}
