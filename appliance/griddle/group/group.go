// Package group is `griddle group`: what an operator wants of several machines together: a role, an image, a layout,
// and settings between those of the site and those of each machine.
package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/layout/layoutfile"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
)

// Command is `griddle group`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("group", "Add, show and change groups of machines",
		"Add, show and change groups of machines. A group has a role, an image and a layout that its machines\n"+
			"should have, and settings, which are stronger than those of the site and weaker than those of a "+
			"machine.\n"+
			"`griddle machine group` puts machines into a group.")
	g := &groups{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(g.addCommand(), g.listCommand(), g.showCommand(), g.setCommand(), g.deleteCommand())
	return c
}

// groups is what the commands of the group share.
type groups struct {
	e      *cli.Env
	remote *cli.Remote
}

// with makes the RunE of a command that asks the server.
func (g *groups) with(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := g.remote.Client()
		if err != nil {
			return err
		}
		return do(c.Context(), client, args)
	}
}

// one completes the command's first argument, a group.
func (g *groups) one() cobra.CompletionFunc { return cli.Arguments(cli.Groups(g.remote)) }

// flags are those of add and set.
type flags struct {
	role, image, note, layout, settings string
	clear                               []string
}

func (f *flags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.role, "role", "", "`ROLE` of its machines, a word such as desk; lists are filtered by it")
	c.Flags().StringVar(&f.image, "image", "", "`IMAGE` that its machines should have, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&f.note, "note", "", "`NOTE` in one line")
	c.Flags().StringVar(&f.layout, "layout", "", "`FILE` with the layout of the disks of its machines, in YAML or JSON")
	c.Flags().StringVar(&f.settings, "settings", "", "`FILE` with its settings, in YAML or JSON; replaces all "+
		"that it has")
}

// change is what the flags that c was given say.
func (f *flags) change(c *cobra.Command) (out api.GroupChange, err error) {
	for name, to := range map[string]struct {
		from *string
		to   **string
	}{"role": {&f.role, &out.Role}, "image": {&f.image, &out.Image}, "note": {&f.note, &out.Note}} {
		if c.Flags().Changed(name) {
			*to.to = to.from
		}
	}
	out.Clear = f.clear
	if f.layout != "" {
		b, err := os.ReadFile(f.layout)
		if err != nil {
			return out, fmt.Errorf("reading the layout: %w", err)
		}
		d, err := layoutfile.Parse(f.layout, b)
		if err != nil {
			return out, err
		}
		if out.Layout, err = json.Marshal(d); err != nil {
			return out, err
		}
	}
	if f.settings != "" {
		b, err := os.ReadFile(f.settings)
		if err != nil {
			return out, fmt.Errorf("reading settings: %w", err)
		}
		s, err := settingfile.Parse(f.settings, b)
		if err != nil {
			return out, err
		}
		if _, _, err := settingfile.Resolve(setting.PartOfMachine, s); err != nil {
			return out, err
		}
		if out.Settings, err = json.Marshal(s.Document); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (g *groups) addCommand() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use: "add GROUP", Short: "Add a group",
		Long: "Add a group. Its name has a-z, 0-9 and, between them, . _ and -.",
		Example: "  griddle group add lab1 --role desk --image web:stable\n" +
			"  griddle group add lab2 --settings lab2.yaml --layout desk.yaml",
		Args: cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := f.change(c)
		if err != nil {
			return err
		}
		return g.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.MakeGroup(ctx, args[0], in)
			if err != nil {
				return err
			}
			return g.e.Printf(got, "The group %s is added. `griddle machine group MACHINE --to %s` puts machines "+
				"into it.",
				got.Name, got.Name)
		})(c, args)
	}
	f.add(c)
	return c
}

func (g *groups) setCommand() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use: "set GROUP", Short: "Change a group",
		Long: "Change a group. Flags change only what they name. Settings reach a machine with its next install or\n" +
			"update; if they do not fit one of the machines of the group, nothing is changed.",
		Example: "  griddle group set lab1 --image web:2\n  griddle group set lab1 --clear settings",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		in, err := f.change(c)
		if err != nil {
			return err
		}
		if in.Role == nil && in.Image == nil && in.Note == nil && in.Layout == nil && in.Settings == nil &&
			len(in.Clear) == 0 {
			return cli.Usage(errors.New("nothing to change: give a flag"))
		}
		return g.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.ChangeGroup(ctx, args[0], in)
			if err != nil {
				return err
			}
			return g.e.Printf(got, "The group %s is changed.", got.Name)
		})(c, args)
	}
	f.add(c)
	c.Flags().StringSliceVar(&f.clear, "clear", nil, "delete `layout` or settings of the group")
	cli.CompleteFlag(c, "clear", cli.Words("layout", "settings"))
	return c
}

func (g *groups) listCommand() *cobra.Command {
	list := cli.List[fleet.Group]{Columns: []cli.Column[fleet.Group]{
		{Name: "name", Text: func(g fleet.Group) string { return g.Name }},
		{Name: "machines", Text: func(g fleet.Group) string { return strconv.Itoa(g.Machines) }},
		{Name: "role", Text: func(g fleet.Group) string { return or(g.Role) }},
		{Name: "image", Text: func(g fleet.Group) string { return or(job.Sentence(g.Image)) }},
		{Name: "note", Text: func(g fleet.Group) string { return or(job.Sentence(g.Note)) }},
	}}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List all groups",
		Example: "  griddle group list\n  griddle group list --filter role=desk -o json",
		Args:    cobra.NoArgs,
		RunE: g.with(func(ctx context.Context, client *api.Client, _ []string) error {
			got, err := client.Groups(ctx)
			if err != nil {
				return err
			}
			return list.Print(g.e, got.Groups)
		}),
	}
	list.Flags(c)
	return c
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (g *groups) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show GROUP", Short: "Show a group with its settings",
		Long:    "Show a group with its settings. No secret is shown.",
		Example: "  griddle group show lab1\n  griddle group show lab1 -o yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
		RunE: g.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Group(ctx, args[0])
			if err != nil {
				return err
			}
			return g.e.Print(got, func(w io.Writer) error {
				layout := "-"
				if got.Layout != nil {
					layout = "yes (-o yaml shows it)"
				}
				fmt.Fprintf(w, "name      %s\nmachines  %d\nrole      %s\nimage     %s\nlayout    %s\nnote      %s\n",
					got.Name,
					got.Machines, or(got.Role), or(job.Sentence(got.Image)), layout, or(job.Sentence(got.Note)))
				for _, v := range got.Settings {
					fmt.Fprintf(w, "setting   %s: %s\n", job.Sentence(v.Place), job.Sentence(v.Text))
				}
				return nil
			})
		}),
	}
}

func (g *groups) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete GROUP", Aliases: []string{"rm"}, Short: "Delete a group that no machine is in",
		Long: "Delete a group that no machine is in. `griddle machine group MACHINE --none` takes machines out " +
			"of it.",
		Example: "  griddle group delete lab1",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: g.one(),
		RunE: g.with(func(ctx context.Context, client *api.Client, args []string) error {
			if err := client.DeleteGroup(ctx, args[0]); err != nil {
				return err
			}
			return g.e.Printf(map[string]string{"deleted": args[0]}, "The group %s is deleted.", job.Printable(args[0]))
		}),
	}
}
