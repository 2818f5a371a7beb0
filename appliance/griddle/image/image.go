// Package image is `griddle image`: it lists, checks, copies and deletes the images of a store.
package image

import (
	"github.com/spf13/cobra"

	"griddle/appliance/griddle/build"
	"griddle/appliance/griddle/cli"
	"griddle/imagestore/ref"
)

// Command is `griddle image`.
func Command(e *cli.Env) *cobra.Command {
	return cli.Group("image", "List, check, fetch and delete images", "List, check, fetch and delete the images of "+
		"a store.",
		listCommand(e),
		showCommand(e),
		verifyCommand(e),
		streamCommand(e),
		receiveCommand(e),
		simplestreamsCommand(e),
		build.Command(e),
		build.ListCommand(e),
		deriveCommand(e),
		recompressCommand(e),
		pullCommand(e),
		pushCommand(e),
		channelCommand(e),
		packagesCommand(e),
		diffCommand(e),
		deleteCommand(e),
		keepCommand(e),
		gcCommand(e),
	)
}

// parseRef reads an image's name from the command line.
func parseRef(s string) (ref.Ref, error) {
	name, err := ref.Parse(s)
	if err != nil {
		return name, cli.Usage(err)
	}
	return name, nil
}
