package machine

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/griddle/machine/roster"
	"griddle/appliance/job"
)

func (m *machines) exportCommand() *cobra.Command {
	var table bool
	var where string
	c := &cobra.Command{
		Use:   "export [--csv] [--where TERMS]",
		Short: "Print a list of machines that import reads",
		Long: "Print a list of machines that `griddle machine import` reads: their names, addresses, groups, tags,\n" +
			"places and notes. Redirect it into a file. With --csv it is for spreadsheets, and shows a few more\n" +
			"columns that import passes over. Text that a spreadsheet would take for a formula begins with '.\n" +
			"The terms of --where are those of `griddle machine list --filter`.\n\n" +
			"Machines that no operator named are left out: what is known of them was received from the network.",
		Example: "  griddle machine export > machines.yaml\n" +
			"  griddle machine export --csv --where group=lab1 > lab1.csv",
		Args: cobra.NoArgs,
	}
	c.RunE = m.with(func(ctx context.Context, client *api.Client, _ []string) error {
		var all []roster.Machine
		left := 0
		err := client.EachMatch(ctx, where, func(page api.Machines) error {
			for _, one := range page.Machines {
				if one.Claimed {
					left++
					continue
				}
				all = append(all, listed(one))
			}
			return nil
		})
		if err != nil {
			return err
		}
		write := roster.YAML
		if table {
			write = roster.CSV
		}
		b, err := write(all)
		if err != nil {
			return err
		}
		if left > 0 {
			m.e.Say(fmt.Sprintf("%d machines are left out, because no operator named them.", left))
		}
		_, err = m.e.Stdout.Write(b)
		return err
	})
	c.Flags().BoolVar(&table, "csv", false, "print CSV, for spreadsheets")
	c.Flags().StringVar(&where, "where", "", "the machines for which these terms are true: `KEY=VALUE...`, such as "+
		"group=lab1")
	return c
}

// listed is a machine as the list has it.
func listed(m api.Machine) roster.Machine {
	tags := m.Tags
	if tags == nil {
		tags = []string{}
	}
	return roster.Machine{Name: &m.Name, MACs: m.Identity.MACs, UUID: m.Identity.UUID, Group: &m.Group, Tags: &tags,
		Place: &m.Place, Note: &m.Note, State: string(m.State), Image: imageOf(m), Model: hardware(m),
		Serial: job.Printable(m.Identity.Serial)}
}

func (m *machines) importCommand() *cobra.Command {
	var yes, try bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Take names, groups, tags, places and notes from a file",
		Long: "Take names, groups, tags, places and notes of machines from a file as `griddle machine export` " +
			"prints it:\n" +
			"YAML, or CSV if its name ends with .csv. An address or UUID that was never seen makes a machine, which\n" +
			"can then be installed when it starts for the first time. A key or column that is left out changes\n" +
			"nothing; one that is empty deletes. A machine is found by its first address, else by its UUID, else by\n" +
			"its name.\n\n" +
			"All changes are made, or none of them. --try makes none, and says what is wrong.",
		Example: "  griddle machine import machines.yaml --try\n  griddle machine import lab1.csv --yes",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Each(cli.Files),
	}
	c.RunE = m.with(func(ctx context.Context, client *api.Client, args []string) error {
		in, err := changes(args[0])
		if err != nil {
			return err
		}
		in.Try = true
		names, err := client.Label(ctx, in)
		if err != nil {
			return err
		}
		if try {
			return m.e.Printf(names, "%s fits: it names %d machines. Nothing was changed.", job.Printable(args[0]),
				len(in.Machines))
		}
		if err := cli.Confirm(m.e, yes, "importing "+args[0], fmt.Sprintf("Write what %s says about %d machines?",
			job.Printable(args[0]), len(in.Machines))); err != nil {
			return err
		}
		in.Try = false
		if names, err = client.Label(ctx, in); err != nil {
			return err
		}
		return m.e.Printf(names, "Changed: %s.", strings.Join(names, ", "))
	})
	c.Flags().BoolVar(&try, "try", false, "change nothing; say whether the file fits")
	cli.YesFlag(c, &yes)
	return c
}

// changes reads a file into what it asks for.
func changes(name string) (in api.Labels, err error) {
	f, err := os.Open(name)
	if err != nil {
		return in, fmt.Errorf("reading the list of machines: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, roster.MaxBytes+1))
	if err != nil {
		return in, fmt.Errorf("reading the list of machines: %w", err)
	}
	all, err := roster.Parse(name, b)
	if err != nil {
		return in, err
	}
	if len(all) == 0 {
		return in, fmt.Errorf("reading the list of machines: %s names no machine", job.Printable(name))
	}
	in.Unseen = true
	for _, one := range all {
		l := api.Label{Key: one.Key(), Group: one.Group, Place: one.Place, Note: one.Note, Tags: one.Tags,
			MACs: one.MACs}
		if one.Name != nil && *one.Name != l.Key {
			l.Name = one.Name
		}
		in.Machines = append(in.Machines, l)
	}
	return in, nil
}
