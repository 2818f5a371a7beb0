package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Group makes a command that only holds others.
func Group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, SuggestionsMinimumDistance: 2}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return WithHint(err, "Did you mean `%s %s`?", c.CommandPath(), near[0])
		}
		return WithHint(err, "See `%s --help`.", c.CommandPath())
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(commands...)
	return c
}

// MarkUsage makes every error about arguments, below c too, a usageError.
func MarkUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				return nil
			}
			if HintOf(err) != "" {
				return Usage(err)
			}
			return WithHint(Usage(err), "Usage: %s", c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		MarkUsage(sub)
	}
}
