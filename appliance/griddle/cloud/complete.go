package cloud

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
)

// servers completes the names of the stack file's servers.
func (g *Commands) servers(context.Context) ([]string, error) {
	s, err := g.Read()
	if err != nil {
		return nil, err
	}
	words := []string{}
	for _, x := range s.Servers {
		words = append(words, x.Name+"\t"+x.Role)
	}
	return words, nil
}

// roles completes the names of the stack file's roles.
func (g *Commands) roles(context.Context) ([]string, error) {
	s, err := g.Read()
	if err != nil {
		return nil, err
	}
	words := []string{}
	for _, x := range s.Servers {
		if !slices.Contains(words, x.Role) {
			words = append(words, x.Role)
		}
	}
	return words, nil
}

// one completes the command's first argument, a server.
func (g *Commands) one() cobra.CompletionFunc { return cli.Arguments(g.servers) }
