package cli

import (
	"encoding/csv"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Column is one of a list.
type Column[T any] struct {
	Name   string // in lower case; the head of a table has it in upper case
	Text   func(T) string
	Raw    func(T) string // for programs; nil where it is Text
	Tone   func(T) Tone   // nil where it is Plain
	Hidden bool           // only shown where --columns names it
}

// List prints values of one kind. With Flags a user can choose columns, and the values that have certain text in them.
type List[T any] struct {
	Columns []Column[T]

	// Elsewhere says whether the server applies a filter, and not Pick, and what is wrong with that filter; nil: none.
	Elsewhere func(filter string) (is bool, err error)

	columns, filters []string
}

// Sent are the filters that the server applies.
func (l *List[T]) Sent() (out []string) {
	for _, f := range l.filters {
		if l.sent(f) {
			out = append(out, f)
		}
	}
	return out
}

func (l *List[T]) sent(filter string) bool {
	if l.Elsewhere == nil {
		return false
	}
	is, _ := l.Elsewhere(filter)
	return is
}

// Flags adds --columns and --filter to c.
func (l *List[T]) Flags(c *cobra.Command) {
	names := l.names()
	c.Flags().StringSliceVar(&l.columns, "columns", nil, "`NAMES` of the columns, in this order: "+
		strings.Join(names, ", "))
	c.Flags().StringArrayVar(&l.filters, "filter", nil, "only what matches `COLUMN=PATTERN`, in which * means any "+
		"characters; several must all match")
	_ = c.RegisterFlagCompletionFunc("columns", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	var filters []string
	for _, n := range names {
		filters = append(filters, n+"=")
	}
	_ = c.RegisterFlagCompletionFunc("filter", cobra.FixedCompletions(filters,
		cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := l.check(); err != nil || check == nil {
			return err
		}
		return check(c, args)
	}
}

func (l *List[T]) names() (names []string) {
	for _, c := range l.Columns {
		names = append(names, c.Name)
	}
	return names
}

// check refuses columns that the list does not have.
func (l *List[T]) check() error {
	for _, n := range l.columns {
		if !slices.Contains(l.names(), strings.ToLower(n)) {
			return OneOf("--columns", n, l.names()...)
		}
	}
	for _, f := range l.filters {
		if l.Elsewhere != nil {
			if is, err := l.Elsewhere(f); err != nil {
				return Usagef("--filter %q: %w", f, err)
			} else if is {
				continue
			}
		}
		name, pattern, ok := strings.Cut(f, "=")
		if !ok || !slices.Contains(l.names(), strings.ToLower(name)) {
			return OneOf("--filter", name, l.names()...)
		}
		if _, err := path.Match(fold(pattern), ""); err != nil {
			return Usagef("--filter %q: %w", f, err)
		}
	}
	return nil
}

// fold makes text comparable. A path's separator is a character like others.
func fold(s string) string { return strings.ToLower(strings.ReplaceAll(s, "/", "\x00")) }

// chosen are the columns to be shown.
func (l *List[T]) chosen() (out []Column[T]) {
	for _, n := range l.columns {
		out = append(out, l.Columns[slices.Index(l.names(), strings.ToLower(n))])
	}
	if len(l.columns) == 0 {
		out = slices.DeleteFunc(slices.Clone(l.Columns), func(c Column[T]) bool { return c.Hidden })
	}
	return out
}

// Pick returns the values that all filters let through.
func (l *List[T]) Pick(all []T) []T {
	out := []T{}
	for _, v := range all {
		if !slices.ContainsFunc(l.filters, func(f string) bool { return !l.sent(f) && !l.matches(f, v) }) {
			out = append(out, v)
		}
	}
	return out
}

func (l *List[T]) matches(filter string, v T) bool {
	name, pattern, _ := strings.Cut(filter, "=")
	c := l.Columns[slices.Index(l.names(), strings.ToLower(name))]
	for _, text := range []func(T) string{c.Text, c.Raw} {
		if text == nil {
			continue
		}
		if ok, _ := path.Match(fold(pattern), fold(text(v))); ok {
			return true
		}
	}
	return false
}

// Print writes the values that the filters let through. JSON and YAML have them whole, whatever the columns are.
func (l *List[T]) Print(e *Env, all []T) error {
	all = l.Pick(all)
	return l.PrintOf(e, all, all)
}

// PrintOf is Print of values that a larger one has, and that were filtered already: JSON and YAML have that one.
func (l *List[T]) PrintOf(e *Env, whole any, all []T) error {
	columns := l.chosen()
	var err error
	switch {
	case e.Out.Quiet && e.ForPeople():
		for _, v := range all {
			if _, err = fmt.Fprintln(e.Stdout, l.Columns[0].raw(v)); err != nil {
				break
			}
		}
	case e.Out.format == CSV:
		err = l.csv(e.Stdout, columns, all)
	default:
		return e.Print(whole, func(w io.Writer) error { return l.table(columns, all).write(w, e.Colors(w)) })
	}
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func (c Column[T]) raw(v T) string {
	if c.Raw != nil {
		return c.Raw(v)
	}
	return c.Text(v)
}

func (l *List[T]) table(columns []Column[T], all []T) table {
	var t table
	for _, c := range columns {
		t.head = append(t.head, strings.ToUpper(c.Name))
	}
	for _, v := range all {
		var row []string
		var tones []Tone
		for _, c := range columns {
			row = append(row, c.Text(v))
			tone := Plain
			if c.Tone != nil {
				tone = c.Tone(v)
			}
			tones = append(tones, tone)
		}
		t.rows, t.tones = append(t.rows, row), append(t.tones, tones)
	}
	return t
}

// noFormula is text that no spreadsheet takes for a formula: what machines say of themselves may begin like one. An
// apostrophe before it says that it is text.
func noFormula(s string) string {
	if s != "" && s != "-" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (l *List[T]) csv(w io.Writer, columns []Column[T], all []T) error {
	out := csv.NewWriter(w)
	var head []string
	for _, c := range columns {
		head = append(head, c.Name)
	}
	_ = out.Write(head) // Flush and Error say it
	for _, v := range all {
		var row []string
		for _, c := range columns {
			row = append(row, noFormula(c.raw(v)))
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}
