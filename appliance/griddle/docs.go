package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"griddle/appliance/griddle/cli"
)

// docsCommand is `griddle docs`.
func docsCommand(e *cli.Env) *cobra.Command {
	return cli.Group("docs", "Write the manual", "Write the manual, from the same texts as --help.", manCommand(e))
}

func manCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write a man page for each command",
		Long: "Write a man page for each command into DIR, such as griddle-image-list.1. DIR is created if it " +
			"does not exist.",
		Example: "  griddle docs man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Files),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("writing man pages: %w", err)
			}
			root := c.Root()
			root.DisableAutoGenTag = true // the same texts give the same files
			date := time.Unix(0, 0)
			if t, err := time.Parse(time.RFC3339, readBuild().Time); err == nil {
				date = t
			}
			if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "griddle", Manual: "Griddle",
				Date: &date}, args[0]); err != nil {
				return fmt.Errorf("writing man pages: %w", err)
			}
			return e.Printf(map[string]string{"dir": args[0]}, "the man pages are in %s", args[0])
		},
	}
}
