package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"griddle/appliance/glossary"
	"griddle/appliance/griddle/cli"
)

// walk calls f for each command that people see.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	if c.Hidden || c.Name() == "completion" || c.Name() == "help" { // cobra's own
		return
	}
	f(c)
	for _, sub := range c.Commands() {
		walk(sub, f)
	}
}

func testRoot() *cobra.Command {
	return rootCommand(&cli.Env{Getenv: func(string) string { return "" }})
}

// TestEveryCommandIsExplained wants a short text, an example that can be run, and plain words of each command and flag.
func TestEveryCommandIsExplained(t *testing.T) {
	doc, err := os.ReadFile("../../docs/GLOSSARY.md")
	if err != nil {
		t.Fatal(err)
	}
	words, err := glossary.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	root := testRoot()
	plain := func(where, text string) {
		for _, w := range words {
			in := glossary.Plain([]byte(text))
			for _, m := range w.Find(in) {
				t.Errorf("%s: %q; write: %s", where, in.Body[m[0]:m[1]], w.Instead)
			}
		}
	}
	walk(root, func(c *cobra.Command) {
		name := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || len(c.Short) > 75 {
			t.Errorf("%s: the short text %q is not one line of at most 75 characters without a full "+
				"stop", name, c.Short)
		}
		for _, text := range []string{c.Short, c.Long, c.Example} {
			plain(name, text)
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len(strings.TrimSuffix(line, "\n")) > 130 {
				t.Errorf("%s: a line of its text has %d characters: %s", name, len(line), line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { plain(name+" --"+f.Name, f.Usage) })
		if c.HasSubCommands() {
			return
		}
		found := false
		for line := range strings.Lines(c.Example) {
			_, args, ok := strings.Cut(line, "griddle ")
			if !ok {
				continue
			}
			got, _, err := root.Find(strings.Fields(args))
			found = found || err == nil && got == c
		}
		if !found {
			t.Errorf("%s: no example shows it", name)
		}
	})
}

// TestFlagsMeanTheSame compares flags of the same name in all commands.
func TestFlagsMeanTheSame(t *testing.T) {
	shorthands, kinds := map[string]string{}, map[string]string{}
	walk(testRoot(), func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Shorthand != "" {
				if other, ok := shorthands[f.Shorthand]; ok && other != f.Name {
					t.Errorf("%s: -%s is --%s here and --%s elsewhere", c.CommandPath(), f.Shorthand, f.Name, other)
				}
				shorthands[f.Shorthand] = f.Name
			}
			if f.Name == "yes" && f.Shorthand != "y" || f.Name == "follow" && f.Shorthand != "f" {
				t.Errorf("%s: --%s has no short form", c.CommandPath(), f.Name)
			}
			if slices.Contains([]string{"server", "state-dir", "store", "token-file", "ca", "columns", "filter"},
				f.Name) {
				name, usage := pflag.UnquoteUsage(f)
				kind, _, _ := strings.Cut(usage, " (")
				kind = name + ": " + strings.Join(strings.Fields(kind)[:2], " ")
				if other, ok := kinds[f.Name]; ok && other != kind {
					t.Errorf("%s: --%s is %q here and %q elsewhere", c.CommandPath(), f.Name, kind, other)
				}
				kinds[f.Name] = kind
			}
		})
		aliases := map[string]string{"list": "ls", "delete": "rm"}
		if want := aliases[c.Name()]; want != "" && !slices.Contains(c.Aliases, want) {
			t.Errorf("%s has no alias %s", c.CommandPath(), want)
		}
		if slices.Contains([]string{"ls", "rm", "remove"}, c.Name()) {
			t.Errorf("%s: the verbs are list, show and delete", c.CommandPath())
		}
	})
}
