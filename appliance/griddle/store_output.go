package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// outputFlag is -o: for people or for programs.
type outputFlag struct{ format string }

// add adds the flag to c.
func (o *outputFlag) add(c *cobra.Command) {
	c.Flags().StringVarP(&o.format, "output", "o", "table", outputUsage)
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := o.check(); err != nil || check == nil {
			return err
		}
		return check(c, args)
	}
}

// addBelow adds the flag to all commands of a group.
func (o *outputFlag) addBelow(group *cobra.Command) {
	group.PersistentFlags().StringVarP(&o.format, "output", "o", "table", outputUsage)
	group.PersistentPreRunE = func(*cobra.Command, []string) error { return o.check() }
}

const outputUsage = "`FORMAT` of the result: table or json"

func (o *outputFlag) check() error {
	if o.format != "table" && o.format != "json" {
		return usagef("--output %q: the format is table or json", o.format)
	}
	return nil
}

// print writes v as JSON, or has text write it for people.
func (o *outputFlag) print(e *env, v any, text func()) error {
	if o.json() {
		return writeJSON(e.stdout, v)
	}
	text()
	return nil
}

func (o *outputFlag) json() bool { return o.format == "json" }

// writeJSON writes v as indented JSON.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing result: %w", err)
	}
	return nil
}

// writeTable writes rows under a head in columns. Trailing spaces are left out.
func writeTable(w io.Writer, head []string, rows [][]string) error {
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
