package machine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func (m *machines) logCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "log MACHINE",
		Short: "Show what happened on a machine",
		Long: "Show what happened on a machine, the oldest first. With --follow, continue until you interrupt it;\n" +
			"on a terminal the progress of an install is one line with a bar. With -o json each entry is one JSON\n" +
			"value on a line of its own.",
		Example: "  griddle machine log node7\n  griddle machine log node7 -f",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			return m.log(ctx, client, args[0], follow)
		}),
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "wait for new entries")
	return c
}

// log writes the journal of the machine that key names.
func (m *machines) log(ctx context.Context, client *api.Client, key string, follow bool) error {
	const retryAfter = 2 * time.Second
	after, wait, lost := int64(0), time.Duration(0), false
	out := journal{stream: cli.Stream{Env: m.e}, live: cli.NewLive(m.e.Stdout), bars: follow && m.e.ForPeople()}
	defer out.live.Clear()
	for {
		got, err := client.Log(ctx, key, after, wait)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && follow && after > 0 && job.Retryable(err):
			// The server may be restarting; what it has written down is not lost.
			if !lost {
				out.live.Clear()
				m.e.Say(fmt.Sprintf("waiting for the server: %v", err))
			}
			lost = true
			select {
			case <-time.After(retryAfter):
			case <-ctx.Done():
				return nil
			}
			continue
		case err != nil:
			return err
		}
		lost = false
		for _, entry := range got.Entries {
			if err := out.print(entry); err != nil {
				return err
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

// journal prints entries: progress as a bar where that is wanted and the output is a terminal.
type journal struct {
	stream cli.Stream
	live   *cli.Live
	bars   bool
}

func (j *journal) print(entry fleet.Entry) error {
	if p := entry.Event.Progress; j.bars && j.live.On() && p != nil && p.Total > 0 && entry.Event.Message == "" &&
		entry.Event.State == "" {
		j.live.Draw(barOf(entry))
		return nil
	}
	j.live.Clear()
	return j.stream.Print(entry, logLine(entry))
}

// barOf is an entry with progress as a line of at most 80 characters.
func barOf(e fleet.Entry) string {
	p := e.Event.Progress
	line := fmt.Sprintf("%-9s %s %3d%%  %s  %s", or(job.Printable(string(e.Event.Phase)), "-"),
		cli.Bar(float64(p.Done)/float64(p.Total)),
		p.Percent(), job.Bytes(p.Done), rateText(p))
	return strings.TrimRight(line[:min(len(line), 80)], " ")
}

func rateText(p *job.Progress) string {
	if p.Stalled {
		return "stalled"
	}
	s := job.Bytes(int64(p.WireBps)) + "/s"
	if p.Left > 0 {
		s += "  " + p.Left.Round(time.Second).String() + " left"
	}
	return s
}
