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
	Machines     int `json:"machines"`               // that had settings of their own
	RecoveryKeys int `json:"recoveryKeys,omitempty"` // that no one can read any more
}

func discardCommand(e *cli.Env) *cobra.Command {
	var stateDir string
	var yes bool
	c := &cobra.Command{
		Use:   "discard",
		Short: "Delete the settings of all machines, after their key was lost",
		Long: "Delete the settings that machines have of their own, and their recovery keys. Both are encrypted\n" +
			"with settings.key of the state directory. If that file is lost and there is no backup, the server\n" +
			"does not start, and this command lets it start again. The server must not be running. The settings\n" +
			"of the site and of images stay.",
		Example: "  griddle settings discard --state-dir /var/lib/griddle",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := cli.Confirm(e, yes, "deleting the settings of all machines",
				fmt.Sprintf("Delete the settings of all machines in %s?", stateDir))
			if err != nil {
				return err
			}
			n, keys, err := appliance.DiscardSettings(c.Context(), stateDir)
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
			text := fmt.Sprintf("The settings of %d machines are deleted.", n)
			if keys > 0 {
				text += fmt.Sprintf(" %d recovery keys are lost: what they opened is opened by its passphrase or its "+
					"TPM alone.", keys)
			}
			return e.Printf(discarded{n, keys}, "%s", text)
		},
	}
	c.Flags().StringVar(&stateDir, "state-dir", config.Default().StateDir, "the server's state `DIR`")
	cli.YesFlag(c, &yes)
	return c
}
