package machine

import (
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rename MACHINE NAME",
		Short: "Give a machine another name",
		Long:  "Give a machine another name, which its next install has as hostname. An installed system keeps its own.",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Rename(c.Context(), args[0], args[1])
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() { fmt.Fprintf(m.e.Stdout, "%s is called %s now.\n", args[0], got.Name) })
		},
	}
}

func (m *machines) mergeCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "merge MACHINE OTHER",
		Short: "Say that two machines are the same one",
		Long: "Say that OTHER is the same machine as MACHINE, as after a change of its mainboard or of a network card.\n\n" +
			"MACHINE gets the addresses, the jobs and the log of OTHER, and the UUID and serial number of the one that was seen last.\n" +
			"The name of OTHER ends. This cannot be undone.",
		Example: "  griddle machine merge node7 node-525400123456",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			doing := fmt.Sprintf("merging %s into %s", job.Printable(args[1]), job.Printable(args[0]))
			if err := cli.Confirm(m.e, yes, doing, fmt.Sprintf("Make %s and %s one machine?", job.Printable(args[0]), job.Printable(args[1]))); err != nil {
				return err
			}
			got, err := client.Merge(c.Context(), args[0], args[1])
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() { fmt.Fprintf(m.e.Stdout, "%s is part of %s now.\n", args[1], got.Name) })
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (m *machines) deleteCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete MACHINE", Aliases: []string{"rm"},
		Short: "Forget a machine, with its jobs and its log",
		Long: "Forget a machine, with its jobs and its log. What is installed on it stays. When it is seen again it is a new one,\n" +
			"which boots what the policy for unknown machines says.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Machine(c.Context(), args[0])
			if err != nil {
				return cli.ExplainMachine(err)
			}
			question := fmt.Sprintf("Delete %s (%s, %s), its %d jobs and its log?", got.Name, got.Status, first(got.Identity.MACs), len(got.Jobs))
			if err := cli.Confirm(m.e, yes, "deleting "+got.Name, question); err != nil {
				return err
			}
			if err := client.Delete(c.Context(), got.ID); err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() { fmt.Fprintf(m.e.Stdout, "%s is forgotten.\n", got.Name) })
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}
