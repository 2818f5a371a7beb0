package settings

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"griddle/appliance"
	"griddle/appliance/config"
	"griddle/appliance/griddle/cli"
)

// discarded is the result of `griddle settings discard -o json`.
type discarded struct {
	Machines int `json:"machines"` // that had settings of their own
}

func discardCommand(e *cli.Env) *cobra.Command {
	var stateDir string
	var yes bool
	c := &cobra.Command{
		Use:   "discard",
		Short: "Delete the settings of all machines, after their key was lost",
		Long: "Delete the settings that machines have of their own. They are encrypted with settings.key of the\n" +
			"state directory. If that file is lost and there is no backup, the server does not start, and this\n" +
			"command lets it start again. The server must not be running. The settings of the site and of images\n" +
			"stay.",
		Example: "  griddle settings discard --state-dir /var/lib/griddle",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := cli.Confirm(e, yes, "deleting the settings of all machines",
				fmt.Sprintf("Delete the settings of all machines in %s?", stateDir))
			if err != nil {
				return err
			}
			n, err := appliance.DiscardSettings(c.Context(), stateDir)
			if errors.Is(err, fs.ErrNotExist) {
				return cli.WithHint(err, "Run this on the host of `griddle serve`, or give its --state-dir.")
			}
			var a appliance.Advice
			if errors.As(err, &a) {
				return cli.WithHint(err, "Stop `griddle serve` first.")
			}
			if err != nil {
				return err
			}
			return e.Printf(discarded{n}, "The settings of %d machines are deleted.", n)
		},
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	cli.YesFlag(c, &yes)
	return c
}
