// Package store is `griddle store`: it serves an image store to a griddle on another host.
package store

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore/remote"
)

// Command is `griddle store`.
// Command is `griddle store`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("store", "Serve an image store to another host",
		"Serve an image store to another host.", serveCommand(e))
}

func serveCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var stdio, create bool
	c := &cobra.Command{
		Use:   "serve --stdio",
		Short: "Serve an image store over standard input and output",
		Long: "Serve an image store over standard input and output, for reading and writing. `griddle image pull`\n" +
			"and `push` run this on the other host over ssh. Anyone who may run this command may change the\n" +
			"store.",
		Example: "  ssh host griddle store serve --stdio --store /srv/store",
		Args:    cobra.NoArgs,
	}
	store.Add(c)
	c.Flags().BoolVar(&stdio, "stdio", false, "use standard input and output; required")
	c.Flags().BoolVar(&create, "create", false, "create the store if it does not exist")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !stdio {
			return cli.WithHint(cli.Usagef("--stdio is required"), "To serve a store to a network, run `griddle "+
				"serve`.")
		}
		if cli.IsTerminal(e.Stdout) {
			return cli.Usagef("standard output is a terminal, and this is binary data")
		}
		st, err := cli.OpenStore(e, store, create)
		if err != nil {
			return err
		}
		in, ok := e.Stdin.(io.ReadCloser)
		out, ok2 := e.Stdout.(io.WriteCloser)
		if !ok || !ok2 {
			return errors.New("serving store: standard input and output are not files")
		}
		return remote.ServeConn(c.Context(), st, remote.NewConn(in, out))
	}
	return cli.Raw(c)
}
