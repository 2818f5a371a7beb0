package machine

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

func (m *machines) settingsCommand() *cobra.Command {
	list := cli.List[setting.Value]{Columns: []cli.Column[setting.Value]{
		{Name: "place", Text: func(v setting.Value) string { return job.Sentence(v.Place) }},
		{Name: "value", Text: func(v setting.Value) string { return job.Sentence(v.Text) }},
		{Name: "from", Text: func(v setting.Value) string { return job.Sentence(v.From) }},
	}}
	c := &cobra.Command{
		Use:   "settings MACHINE",
		Short: "Show the settings that a machine gets, and where each comes from",
		Long: "Show the settings that a machine gets with its next install, and where each of them comes from: the\n" +
			"image, the site (`settings` in the server's configuration), or the machine itself\n" +
			"(`griddle machine set`). The last is the strongest. No secret is shown.",
		Example: "  griddle machine settings node7\n  griddle machine settings node7 --filter 'place=users*' -o yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Settings(ctx, args[0])
			if err != nil {
				return err
			}
			if err := list.Print(m.e, got.Values); err != nil {
				return err
			}
			if len(got.Mistakes) > 0 {
				p := job.NewProblem(0, fmt.Sprintf("the settings of %s have mistakes, and it cannot be installed with "+
					"them", got.Machine))
				p.Mistakes = got.Mistakes
				return p
			}
			if len(got.Secrets) > 0 && !got.Proved && m.e.Notes() {
				fmt.Fprint(m.e.Stderr, secretsWait(got.Machine))
			}
			return nil
		}),
	}
	list.Flags(c)
	return c
}

// secretsWait says what an operator has to do for a machine whose settings have secrets.
func secretsWait(machine string) string {
	return fmt.Sprintf("Its settings have secrets. Before it writes to a disk, the machine shows a code and waits "+
		"for\n`griddle machine approve %s CODE`, unless it proves a key that was approved before.\n", machine)
}
