package multicast

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/multicast"
)

func columns(now time.Time) []cli.Column[multicast.Listed] {
	return []cli.Column[multicast.Listed]{
		{Name: "session", Text: func(s multicast.Listed) string { return s.ID.String() }},
		{Name: "state", Text: func(s multicast.Listed) string { return fmt.Sprint(s.Status.State) }},
		{Name: "sent", Text: func(s multicast.Listed) string { return fmt.Sprintf("%d %%", s.Status.Percent()) },
			Raw: func(s multicast.Listed) string { return strconv.Itoa(s.Status.Percent()) }},
		{Name: "size", Text: func(s multicast.Listed) string { return job.Bytes(s.Size) },
			Raw: number(func(s multicast.Listed) int64 { return s.Size })},
		{Name: "rate", Text: func(s multicast.Listed) string { return job.Bytes(s.Status.Rate) + "/s" },
			Raw: number(func(s multicast.Listed) int64 { return s.Status.Rate })},
		{Name: "receivers", Text: func(s multicast.Listed) string { return strconv.Itoa(len(s.Status.Receivers)) }},
		{Name: "repair", Text: func(s multicast.Listed) string { return job.Bytes(s.Status.Parity + s.Status.Again) },
			Raw: number(func(s multicast.Listed) int64 { return s.Status.Parity + s.Status.Again })},
		{Name: "sender", Text: func(s multicast.Listed) string {
			if s.Relay != "" {
				return "relay " + job.Printable(s.Relay)
			}
			return s.Link
		}},
		{Name: "age", Text: func(s multicast.Listed) string { return now.Sub(s.Started).Round(time.Second).String() },
			Raw: func(s multicast.Listed) string { return s.Started.UTC().Format(time.RFC3339) }},
	}
}

func number(of func(multicast.Listed) int64) func(multicast.Listed) string {
	return func(s multicast.Listed) string { return strconv.FormatInt(of(s), 10) }
}

func (s *sessions) listCommand() *cobra.Command {
	list := cli.List[multicast.Listed]{Columns: columns(time.Now())}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the sessions",
		Example: "  griddle multicast list\n  griddle multicast list --filter state=sending -q",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, all, err := s.all(c.Context())
			if err != nil {
				return err
			}
			if len(all) == 0 && s.e.Notes() {
				fmt.Fprintln(s.e.Stderr, "No sessions: no image is requested by two machines at the same time.")
			}
			return list.Print(s.e, all)
		},
	}
	list.Flags(c)
	return c
}

func (s *sessions) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show SESSION",
		Short:   "Show one session and its receivers",
		Example: "  griddle multicast show 5c3a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.one(),
		RunE: func(c *cobra.Command, args []string) error {
			_, one, err := s.find(c.Context(), args[0])
			if err != nil {
				return err
			}
			return s.e.Print(one, func(w io.Writer) error { return show(s.e, w, one, time.Now()) })
		},
	}
}

// show writes a session, and a line for each of its receivers that still reports.
func show(e *cli.Env, w io.Writer, one multicast.Listed, now time.Time) error {
	for _, c := range columns(now) {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", c.Name, c.Text(one)); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, r := range one.Status.Receivers {
		name := one.Names[r.Number]
		if name == "" {
			name = fmt.Sprintf("receiver %d", r.Number)
		}
		rows = append(rows, []string{job.Printable(name), fmt.Sprint(r.State), strconv.Itoa(r.Missing),
			fmt.Sprintf("%.1f %%", 100*r.Loss)})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return e.WriteTable(w, []string{"RECEIVER", "STATE", "BLOCKS LEFT", "LOSS"}, rows)
}
