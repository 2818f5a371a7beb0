package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/bench"
	"griddle/appliance/griddle/catalog"
	"griddle/appliance/griddle/cli"
	clouds "griddle/appliance/griddle/cloud"
	"griddle/appliance/griddle/image"
	"griddle/appliance/griddle/key"
	"griddle/appliance/griddle/machine"
	"griddle/appliance/griddle/multicast"
	"griddle/appliance/griddle/publish"
	"griddle/appliance/griddle/serve"
	"griddle/appliance/griddle/store"
)

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &cli.Env{Stdin: stdin, Stdout: stdout, Stderr: stderr, Getenv: os.Getenv}
	root := rootCommand(e)
	root.SetArgs(args)
	return e.Exit(root.ExecuteContext(ctx))
}

// rootCommand lists the command groups.
func rootCommand(e *cli.Env) *cobra.Command {
	root := cli.Group("griddle", "Turn bare metal into working machines",
		"Griddle answers machines that boot from the network, installs signed images onto their disks, and\n"+
			"publishes images from LXC containers and btrfs subvolumes.\n\n"+
			"Start with `griddle serve --interface IFACE` on the provisioning network.",
		serve.Command(e),
		serve.ConfigCommand(e),
		machine.Command(e),
		multicast.Command(e),
		clouds.Command(e),
		publish.Command(e),
		image.Command(e),
		key.Command(e),
		catalog.Command(e),
		store.Command(e),
		bench.Command(e),
	)
	root.Version = version()
	root.SetVersionTemplate("griddle {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return cli.WithHint(cli.Usage(err), "See `%s --help`.", c.CommandPath())
	})
	cli.MarkUsage(root)
	return root
}
