package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) logCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "log MACHINE",
		Short: "Show what happened on a machine",
		Long: "Show what happened on a machine, the oldest first. With -f, go on until interrupted.\n" +
			"With -o json each entry is one JSON value on a line of its own.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			return m.log(c.Context(), client, args[0], follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "wait for what happens next")
	return c
}

// log writes the journal of the machine that key names.
func (m *machines) log(ctx context.Context, client *api.Client, key string, follow bool) error {
	const retryAfter = 2 * time.Second
	after, wait, lost := int64(0), time.Duration(0), false
	for {
		got, err := client.Log(ctx, key, after, wait)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && follow && after > 0 && job.Retryable(err):
			// The appliance may be restarting; what it has written down is not lost.
			if !lost {
				fmt.Fprintf(m.e.Stderr, "griddle: waiting for the appliance: %v\n", err)
			}
			lost = true
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
				return nil
			}
			continue
		case err != nil:
			return cli.ExplainMachine(err)
		}
		lost = false
		for _, entry := range got.Entries {
			if m.out.JSON() {
				err = json.NewEncoder(m.e.Stdout).Encode(entry)
			} else {
				_, err = fmt.Fprintln(m.e.Stdout, logLine(entry))
			}
			if err != nil {
				return fmt.Errorf("writing the log: %w", err)
			}
		}
		after = got.Next
		if len(got.Entries) == 0 && !follow {
			return nil
		}
		if follow {
			wait = 30 * time.Second
		}
	}
}
