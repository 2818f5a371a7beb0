package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// The formats of --output.
const (
	Table = "table" // for people
	JSON  = "json"
	YAML  = "yaml" // the same values and keys as JSON
	CSV   = "csv"  // a line of names, then a line for each value
)

var formats = []string{Table, JSON, YAML, CSV}

// Output says how commands print. The zero value prints tables, with notes and progress.
type Output struct {
	format  string
	Quiet   bool // nothing but the result: no notes, warnings and progress; of lists the names alone
	noColor bool
}

// rawOutput marks commands that write bytes of another format.
const rawOutput = "raw output"

// Raw marks a command that writes something that has a format of its own, such as a stream. It takes no --output.
func Raw(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{rawOutput: ""}
	return c
}

// OutputFlags adds --output, --quiet and --no-color to root and all commands below it.
func (e *Env) OutputFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&e.Out.format, "output", "o", Table, "`FORMAT` of the result and of errors: "+alternatives(formats))
	f.BoolVarP(&e.Out.Quiet, "quiet", "q", false, "print only the result: no notes, warnings or progress; of a "+
		"list only the names")
	f.BoolVar(&e.Out.noColor, "no-color", false, "use no colors, as with the environment variable NO_COLOR")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains(formats, e.Out.format) {
			bad := e.Out.format
			e.Out.format = Table
			return OneOf("--output", bad, formats...)
		}
		if _, raw := c.Annotations[rawOutput]; raw && e.Out.format != Table {
			return Usagef("--output: `%s` has only one format", c.CommandPath())
		}
		return nil
	}
}

// ForPeople says whether the result is for a person, and not for a program.
func (e *Env) ForPeople() bool { return e.Out.format == Table || e.Out.format == "" }

// Notes says whether a person wants to know how work proceeds.
func (e *Env) Notes() bool { return e.ForPeople() && !e.Out.Quiet }

// Print writes the result of a command: v in one of the formats for programs, or what text writes for people. The
// fields of v have JSON tags; YAML and CSV use the same names.
func (e *Env) Print(v any, text func(w io.Writer) error) error {
	var err error
	switch e.Out.format {
	case JSON:
		err = writeJSON(e.Stdout, v)
	case YAML:
		err = writeYAML(e.Stdout, v)
	case CSV:
		err = writeCSV(e.Stdout, v)
	default:
		err = text(e.Stdout)
	}
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// Printf is Print with a line for people.
func (e *Env) Printf(v any, format string, args ...any) error {
	return e.Print(v, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		return err
	})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func writeYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = yaml.JSONToYAML(b)
	}
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// writeCSV writes a struct as one line, and a slice of structs as one line each. Values inside of values are written
// as JSON.
func writeCSV(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > 0 && b[0] != '[' {
		b = slices.Concat([]byte("["), b, []byte("]"))
	}
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	var names []string
	var lines []map[string]string
	for _, one := range all {
		line, err := fields(one, &names)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	out := csv.NewWriter(w)
	_ = out.Write(names) // Flush and Error say it
	for _, line := range lines {
		var cells []string
		for _, n := range names {
			cells = append(cells, line[n])
		}
		_ = out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// fields takes a JSON object apart, and adds its names to those in the order in which they were seen.
func fields(b []byte, names *[]string) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	note := func(name string) {
		if !slices.Contains(*names, name) {
			*names = append(*names, name)
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		note("value")
		return map[string]string{"value": cell(b)}, err
	}
	line := map[string]string{}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, err
		}
		note(name.(string))
		line[name.(string)] = cell(value)
	}
	return line, nil
}

// cell is a JSON value as text: strings without quotes, nothing for null.
func cell(b json.RawMessage) string {
	var s *string
	if json.Unmarshal(b, &s) == nil {
		if s == nil {
			return ""
		}
		return noFormula(*s)
	}
	return string(b)
}

// alternatives lists words for a sentence: "a, b or c".
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// OneOf is the error of a flag or an argument that takes some words alone.
func OneOf(name, got string, words ...string) error {
	return Usagef("%s %q is not one of %s", name, got, strings.Join(words, ", "))
}
