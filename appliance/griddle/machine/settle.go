package machine

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rename MACHINE NAME",
		Short: "Give a machine another name",
		Long: "Give a machine another name. Its next install uses it as hostname; a system that is installed " +
			"keeps its own.",
		Example: "  griddle machine rename node-525400123456 node7",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Rename(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return m.e.Printf(got, "%s is now called %s.", args[0], got.Name)
		}),
	}
}

func (m *machines) mergeCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "merge MACHINE OTHER",
		Short: "Make one machine of two entries for the same hardware",
		Long: "Make one machine of two entries, for example after a mainboard or a network card was replaced.\n\n" +
			"MACHINE gets the addresses, the jobs and the log of OTHER, and the UUID and serial number of the one\n" +
			"that was seen last. OTHER is deleted. This cannot be undone.",
		Example: "  griddle machine merge node7 node-525400123456",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Machines(m.remote), cli.Machines(m.remote)),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			one, other := job.Printable(args[0]), job.Printable(args[1])
			err := cli.Confirm(m.e, yes, fmt.Sprintf("merging %s into %s", other, one), fmt.Sprintf("Merge %s into %s?",
				other, one))
			if err != nil {
				return err
			}
			got, err := client.Merge(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return m.e.Printf(got, "%s is now part of %s.", args[1], got.Name)
		}),
	}
	cli.YesFlag(c, &yes)
	return c
}

func (m *machines) deleteCommand() *cobra.Command {
	var yes, recovery bool
	c := &cobra.Command{
		Use: "delete MACHINE", Aliases: []string{"rm"},
		Short: "Delete a machine's entry, with its jobs and its log",
		Long: "Delete what the server knows of a machine, with its jobs and its log. The system that is installed\n" +
			"on it is not touched. When the machine is seen again it is a new one, and boots what the policy for\n" +
			"unknown machines says.\n\n" +
			"A machine whose encrypted disks have a recovery key is deleted only with --recovery-keys: no one else\n" +
			"has that key. `griddle machine recovery-key` shows it.",
		Example: "  griddle machine delete node7",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Machine(ctx, args[0])
			if err != nil {
				return err
			}
			if got.RecoveryKeys > 0 && !recovery {
				return cli.WithHint(fmt.Errorf("deleting %s: the server keeps %d recovery keys of it, and its "+
					"encrypted disks may be opened by nothing else", got.Name, got.RecoveryKeys), "Write them down "+
					"with `griddle machine recovery-key %s`, and give --recovery-keys.", got.Name)
			}
			question := fmt.Sprintf("Delete %s (%s, %s), its %d jobs and its "+
				"log?", got.Name, got.Status, first(got.Identity.MACs), len(got.Jobs))
			if err := cli.Confirm(m.e, yes, "deleting "+got.Name, question); err != nil {
				return err
			}
			if err := client.Delete(ctx, got.ID, recovery); err != nil {
				return err
			}
			return m.e.Printf(got, "%s is deleted.", got.Name)
		}),
	}
	c.Flags().BoolVar(&recovery, "recovery-keys", false, "delete the recovery keys of its encrypted disks too")
	cli.YesFlag(c, &yes)
	return c
}
