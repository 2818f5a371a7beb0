package machine

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// resetFlag is --reset, whose value may be left out.
func resetFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "reset", "", "each start has a fresh system: `system|home|no`; without a value, system")
	c.Flags().Lookup("reset").NoOptDefVal = string(job.ResetSystem)
	cli.CompleteFlag(c, "reset", cli.Words(string(job.ResetSystem), string(job.ResetHome), string(job.ResetNo)))
}

// resetText says what is fresh at each start of a root, "" for nothing.
func resetText(r job.Reset) string {
	switch r {
	case "", job.ResetNo:
		return ""
	case job.ResetHome:
		return "fresh at each start, with /home"
	}
	return "fresh at each start"
}
