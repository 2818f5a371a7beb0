package machine

import (
	"context"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

func (m *machines) approveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "approve MACHINE CODE",
		Short: "Approve the machine whose screen shows a code",
		Long: "Approve the boot of a machine whose screen shows CODE. It then gets what waits for the approval: its\n" +
			"job, if the server has `enrolment: approve`, and settings that have secrets. From then on the machine\n" +
			"proves itself by the key of this boot, and its next install needs no approval.\n\n" +
			"Only the machine itself shows its code. If the screen shows a code that does not match, another\n" +
			"computer claims to be this machine. Upper and lower case and the hyphen do not matter.",
		Example: "  griddle machine approve node7 7K4M-QX2D",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cli.Arguments(cli.Machines(m.remote), cli.Words()),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Approve(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return m.e.Printf(got, "%s is approved: it continues within ten seconds.", got.Name)
		}),
	}
}
