package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// listTable writes the list as a table, with what an operator should know above it.
func (m *machines) listTable(ctx context.Context, client *api.Client) error {
	t := tabwriter.NewWriter(m.e.Stdout, 0, 8, 2, ' ', 0)
	first, strangers := true, false
	err := client.EachPage(ctx, func(page api.Machines) error {
		if first {
			notices(m.e.Stdout, page.Notices)
			fmt.Fprintln(t, "NAME\tSTATUS\tMAC\tHARDWARE\tIMAGE\tLAST SEEN")
			first = false
		}
		rowsOf(t, page.Machines)
		for _, one := range page.Machines {
			strangers = strangers || one.Claimed
		}
		return nil
	})
	if err != nil {
		return cli.ExplainRemote(err)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if strangers {
		fmt.Fprintln(m.e.Stderr, "* no operator named this machine: what is shown is what was said on the network")
	}
	return nil
}

func notices(w io.Writer, all []string) {
	for _, n := range all {
		fmt.Fprintf(w, "! %s\n", job.Sentence(n))
	}
}

// listJSON writes the list as one JSON array, page by page, and what an operator should know to stderr.
func (m *machines) listJSON(ctx context.Context, client *api.Client) error {
	n := 0
	open := func() {
		if n == 0 {
			fmt.Fprint(m.e.Stdout, "[")
		}
	}
	err := client.EachPage(ctx, func(page api.Machines) error {
		if n == 0 {
			notices(m.e.Stderr, page.Notices)
		}
		for _, one := range page.Machines {
			b, err := json.MarshalIndent(one, "  ", "  ")
			if err != nil {
				return err
			}
			open()
			if n++; n > 1 {
				fmt.Fprint(m.e.Stdout, ",")
			}
			if _, err := fmt.Fprintf(m.e.Stdout, "\n  %s", b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return cli.ExplainRemote(err)
	}
	open()
	end := "]\n"
	if n > 0 {
		end = "\n]\n"
	}
	_, err = fmt.Fprint(m.e.Stdout, end)
	return err
}
