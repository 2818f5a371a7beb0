package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// label makes the same change of each machine that keys name, of all or of none.
func (m *machines) label(ctx context.Context, client *api.Client, keys []string, change api.Label) error {
	var in api.Labels
	for _, key := range keys {
		change.Key = key
		in.Machines = append(in.Machines, change)
	}
	names, err := client.Label(ctx, in)
	if err != nil {
		return err
	}
	return m.e.Printf(names, "Changed: %s.", strings.Join(names, ", "))
}

func (m *machines) tagCommand() *cobra.Command {
	var add, drop []string
	c := &cobra.Command{
		Use:   "tag MACHINE... [--add TAGS] [--remove TAGS]",
		Short: "Give machines tags, and take tags away",
		Long: "Give machines tags, and take tags away. Tags are words by which lists and orders find machines:\n" +
			"`griddle machine list --filter tag=gpu`. A tag has a-z, 0-9 and, between them, . _ : and -.",
		Example: "  griddle machine tag node7 --add gpu,rack:3\n  griddle machine tag node7 node8 --remove spare",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		return m.label(ctx, client, args, api.Label{Add: add, Drop: drop})
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(add)+len(drop) == 0 {
			return cli.Usage(errors.New("nothing to change: give --add TAGS or --remove TAGS"))
		}
		return run(c, args)
	}
	c.Flags().StringSliceVar(&add, "add", nil, "`TAGS` to add, with commas between them")
	c.Flags().StringSliceVar(&drop, "remove", nil, "`TAGS` to take away, with commas between them")
	return c
}

func (m *machines) groupCommand() *cobra.Command {
	var to string
	var none bool
	c := &cobra.Command{
		Use:     "group MACHINE... {--to GROUP | --none}",
		Short:   "Put machines into a group, or take them out of it",
		Long:    "Put machines into a group, or take them out of it. A machine is in one group or in none.",
		Example: "  griddle machine group node7 node8 --to lab1\n  griddle machine group node7 --none",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		return m.label(ctx, client, args, api.Label{Group: &to})
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if (to != "") == none {
			return cli.Usage(errors.New("give either --to GROUP or --none"))
		}
		return run(c, args)
	}
	c.Flags().StringVar(&to, "to", "", "`GROUP` that the machines are in from now on")
	c.Flags().BoolVar(&none, "none", false, "take them out of their group")
	return c
}

func (m *machines) placeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "place MACHINE PLACE", Short: "Say where a machine is",
		Long:    "Say where a machine is, in one line of at most 128 characters. \"\" deletes it.",
		Example: "  griddle machine place node7 'room 2, by the door'\n  griddle machine place node7 ''",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			return m.label(ctx, client, args[:1], api.Label{Place: &args[1]})
		}),
	}
}

func (m *machines) noteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "note MACHINE NOTE", Short: "Write a note about a machine",
		Long:    "Write a note about a machine, in one line of at most 2000 characters. \"\" deletes it.",
		Example: "  griddle machine note node7 'fan is loud, ordered a new one'\n  griddle machine note node7 ''",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			return m.label(ctx, client, args[:1], api.Label{Note: &args[1]})
		}),
	}
}

func (m *machines) retireCommand() *cobra.Command {
	var undo bool
	c := &cobra.Command{
		Use: "retire MACHINE [--undo]", Short: "Take a machine out of use, or back into use",
		Long: "Take a machine out of use: it gets no jobs, from its screen neither, and boots its disk. Its " +
			"record, with\n" +
			"its log and its recovery keys, stays; `griddle machine delete` removes it. --undo takes the machine " +
			"back\n" +
			"into use.",
		Example: "  griddle machine retire node7\n  griddle machine retire node7 --undo",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			if undo {
				got, err := client.Reuse(ctx, args[0])
				if err != nil {
					return err
				}
				return m.e.Printf(got, "%s is in use again. It is %s.", got.Name, got.Status)
			}
			got, err := client.Retire(ctx, args[0])
			if err != nil {
				return err
			}
			return m.e.Printf(got, "%s is retired. It gets no jobs, and boots its disk.", got.Name)
		}),
	}
	c.Flags().BoolVar(&undo, "undo", false, "take the machine back into use")
	return c
}

func (m *machines) replaceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "replace OLD NEW", Short: "Give the place of a machine to another computer",
		Long: "Give the place of a machine to another computer: its name, group, tags, place, note and settings. " +
			"Jobs,\n" +
			"keys, recovery keys and the log stay with the old machine, which is retired and gets another name. NEW\n" +
			"may be a MAC address that was never seen. Install it then with `griddle machine install`.\n\n" +
			"If the disks moved to a new board, it is still the same machine: use `griddle machine merge`.",
		Example: "  griddle machine replace node7 52:54:00:12:34:56",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Machines(m.remote), cli.Machines(m.remote)),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Replace(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return m.e.Print(got, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is now %s. The old machine is retired; `griddle machine list --filter "+
					"state=retired` shows it.\n", got.Name, job.Printable(args[1]))
				return err
			})
		}),
	}
}
