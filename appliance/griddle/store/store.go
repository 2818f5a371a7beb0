// Package store is `griddle store`: it serves an image store to a griddle on another host.
package store

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/imagestore"
)

// Command is `griddle store`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("store", "Serve an image store", "Serve an image store to another host.", serveCommand(e))
}

func serveCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var stdio, create bool
	c := &cobra.Command{
		Use:   "serve --stdio",
		Short: "Serve an image store over standard input and output",
		Long: "Serve an image store over standard input and output, to read and to write: what `griddle image pull|push` run over ssh\n" +
			"on the other host. Whoever may run this command may change the store.",
		Args: cobra.NoArgs,
	}
	store.Add(c)
	c.Flags().BoolVar(&stdio, "stdio", false, "over standard input and output, which is the only way there is")
	c.Flags().BoolVar(&create, "create", false, "make the store where there is none")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !stdio {
			return cli.WithHint(cli.Usagef("it is not said where to serve"), "Give --stdio; `griddle serve` serves the appliance's store.")
		}
		if cli.IsTerminal(e.Stdout) {
			return cli.Usagef("standard output is a terminal, and this is not for reading")
		}
		st, err := cli.OpenStore(e, store, create)
		if err != nil {
			return err
		}
		in, ok := e.Stdin.(io.ReadCloser)
		out, ok2 := e.Stdout.(io.WriteCloser)
		if !ok || !ok2 {
			return errors.New("serving store: standard input and output are no files")
		}
		return imagestore.ServeConn(c.Context(), st, imagestore.NewConn(in, out))
	}
	return c
}
