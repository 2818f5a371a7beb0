package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"griddle/cloud"
	"griddle/cloud/provider"
)

// listedStack is a stack as `griddle cloud list --output json` shows it.
type listedStack struct {
	*cloud.State
	Made    int      `json:"made"`              // servers
	Volumes []string `json:"volumes,omitempty"` // that were made
	Summary string   `json:"summary,omitempty"` // empty where there are servers
}

func (g *clouds) listCommand() *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the stacks that were brought up from here",
		Long:  "List the stacks that were brought up from here, with their providers and servers. Nobody is asked.",
		Args:  cobra.NoArgs,
	}
	out.add(c)
	c.RunE = func(*cobra.Command, []string) error {
		dir, err := g.folder()
		if err != nil {
			return err
		}
		known := &cloud.Cloud{Dir: dir + "/stacks"}
		names, err := known.Stacks()
		if err != nil {
			return err
		}
		states := []listedStack{}
		for _, n := range names {
			s, err := known.State(n)
			if err != nil {
				return err
			}
			states = append(states, listedStack{s, s.Made(), s.Volumes(), s.Summary()})
		}
		if out.json() {
			return writeJSON(g.e.stdout, states)
		}
		var rows [][]string
		for _, s := range states {
			rows = append(rows, []string{s.Stack, s.Provider, strconv.Itoa(s.Made), s.Summary})
		}
		return writeTable(g.e.stdout, []string{"STACK", "PROVIDER", "SERVERS", "NOTE"}, rows)
	}
	return c
}

func (g *clouds) statusCommand() *cobra.Command {
	var out outputFlag
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what a stack is now",
		Long:  "Ask the provider what the stack has, and show it.",
		Args:  cobra.NoArgs,
	}
	out.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "status")
		if err != nil {
			return err
		}
		s, err := x.Status(c.Context(), x.s.Name)
		if err != nil {
			return err
		}
		if out.json() {
			return writeJSON(g.e.stdout, s)
		}
		return writeStatus(g.e.stdout, s)
	}
	return c
}

// pickFlags choose servers.
func pickFlags(c *cobra.Command, p *cloud.Pick) {
	c.Flags().StringVar(&p.Role, "role", "", "the servers of `ROLE`")
	c.Flags().BoolVar(&p.Minimum, "minimum", false, "as many of each role as the stack needs at the least")
	c.Flags().BoolVar(&p.All, "all", false, "all servers")
}

func (g *clouds) controlCommand(a provider.Action, short string) *cobra.Command {
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
		x.Report = cloud.Printer(g.e.stderr)
		p.Servers = args
		return advise(x.Control(c.Context(), x.s.Name, p, a, o))
	}
	return c
}

func (g *clouds) deleteCommand() *cobra.Command {
	var o cloud.DeleteOptions
	var yes bool
	c := &cobra.Command{
		Use:   "delete",
		Short: "Remove a stack",
		Long: "Remove all that a stack has at its provider, volumes and their data included unless --keep-disk says otherwise. What goes is\n" +
			"listed and asked for first; what griddle did not make stays.",
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.KeepDisk, "keep-disk", false, "leave the volumes with their data")
	c.Flags().BoolVar(&o.Force, "force", false, "go on where something cannot be removed")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "delete")
		if err != nil {
			return err
		}
		x.Report = cloud.Printer(g.e.stderr)
		o.Confirm = func(d *cloud.Deletion) error {
			data := 0
			for _, r := range d.Goes {
				fmt.Fprintf(g.e.stderr, "remove  %s %s\n", r.Kind, r.Name)
				if r.Kind == provider.KindVolume {
					data++
				}
			}
			for _, r := range d.Stays {
				fmt.Fprintf(g.e.stderr, "keep    %s %s\n", r.Kind, r.Name)
			}
			question := fmt.Sprintf("Remove these %d?", len(d.Goes))
			if data > 0 {
				question = fmt.Sprintf("Remove these %d, and all data of %d volumes?", len(d.Goes), data)
			}
			return confirm(g.e, yes, "deleting stack "+d.Stack, question)
		}
		if err := x.Delete(c.Context(), x.s.Name, o); err != nil {
			return advise(err)
		}
		if left, err := x.State(x.s.Name); err == nil {
			_, err = fmt.Fprintf(g.e.stdout, "stack %s: %s; `griddle cloud up` makes servers with them again, `griddle cloud delete` removes them\n", x.s.Name, left.Summary())
			return err
		}
		_, err = fmt.Fprintf(g.e.stdout, "stack %s is gone\n", x.s.Name)
		return err
	}
	return c
}

func (g *clouds) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt",
		Short: "Take a stack over whose state was lost",
		Long: "Make the state of a stack anew from what bears its labels at the provider. Its servers stay as they are; secrets that had been\n" +
			"generated are lost with the state.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			x, err := g.open(c.Context(), "adopt")
			if err != nil {
				return err
			}
			x.Report = cloud.Printer(g.e.stderr)
			found, err := x.Adopt(c.Context(), x.s)
			for _, r := range found {
				fmt.Fprintf(g.e.stdout, "%s %s\n", r.Kind, r.Name)
			}
			return err
		},
	}
}

func (g *clouds) collectCommand() *cobra.Command {
	var keep int
	var yes bool
	c := &cobra.Command{
		Use:   "collect",
		Short: "Remove old images from the provider",
		Long:  "Remove the images that no stack known here uses from the provider of the stack file, the newest of each template excepted.",
		Args:  cobra.NoArgs,
	}
	c.Flags().IntVar(&keep, "keep", 2, "`N` newest versions of each template that stay")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.RunE = func(c *cobra.Command, _ []string) error {
		x, err := g.open(c.Context(), "collect")
		if err != nil {
			return err
		}
		images, err := x.Superfluous(c.Context(), keep)
		if err != nil || len(images) == 0 {
			return err
		}
		for _, i := range images {
			fmt.Fprintf(g.e.stderr, "remove  image %s\n", i.Name)
		}
		if err := confirm(g.e, yes, "removing images", fmt.Sprintf("Remove these %d?", len(images))); err != nil {
			return err
		}
		return x.Collect(c.Context(), images)
	}
	return c
}

func (g *clouds) consoleCommand() *cobra.Command {
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
						_, err = g.e.stdout.Write(b)
					}
					return err
				}
			}
			return fmt.Errorf("the stack %s has no server %q: %w", x.s.Name, args[0], os.ErrNotExist)
		},
	}
}
