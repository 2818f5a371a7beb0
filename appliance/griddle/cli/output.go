package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Output is -o: for people or for programs.
type Output struct{ format string }

// Add adds the flag to c.
func (o *Output) Add(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "table", outputUsage)
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil || check == nil {
			return err
		}
		return check(c, args)
	}
}

// AddBelow adds the flag to all commands of a group.
func (o *Output) AddBelow(group *cobra.Command) {
	group.PersistentFlags().StringVarP(&o.format, "output", "o", "table", outputUsage)
	group.PersistentPreRunE = func(*cobra.Command, []string) error { return o.check() }
}

const outputUsage = "`FORMAT` of the result: table or json"

func (o *Output) check() error {
	if o.format != "table" && o.format != "json" {
		return Usagef("--output %q: the format is table or json", o.format)
	}
	return nil
}

// Print writes v as JSON, or has text write it for people.
func (o *Output) Print(e *Env, v any, text func()) error {
	if o.JSON() {
		return WriteJSON(e.Stdout, v)
	}
	text()
	return nil
}

func (o *Output) JSON() bool { return o.format == "json" }

// WriteJSON writes v as indented JSON.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing result: %w", err)
	}
	return nil
}

// WriteTable writes rows under a head in columns. Trailing spaces are left out.
func WriteTable(w io.Writer, head []string, rows [][]string) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush() // a strings.Builder never fails
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("writing result: %w", err)
		}
	}
	return nil
}
