package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	accounts "griddle/appliance/griddle/account"
	"griddle/appliance/griddle/bench"
	"griddle/appliance/griddle/catalog"
	"griddle/appliance/griddle/cli"
	clouds "griddle/appliance/griddle/cloud"
	"griddle/appliance/griddle/group"
	"griddle/appliance/griddle/image"
	"griddle/appliance/griddle/inventory"
	"griddle/appliance/griddle/key"
	"griddle/appliance/griddle/layout"
	"griddle/appliance/griddle/machine"
	"griddle/appliance/griddle/multicast"
	"griddle/appliance/griddle/publish"
	"griddle/appliance/griddle/remote"
	"griddle/appliance/griddle/room"
	"griddle/appliance/griddle/rule"
	"griddle/appliance/griddle/serve"
	"griddle/appliance/griddle/settings"
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
		"Griddle installs signed images on machines that boot from the network, and publishes such images from LXC "+
			"containers,\n"+
			"btrfs subvolumes and directories.\n\n"+
			"Start with `griddle serve --interface IFACE` on the provisioning network.\n\n"+
			"Exit codes: 0 done; 1 failed; 2 the command line is wrong, and nothing was done; 130 interrupted by a "+
			"signal.\n"+
			"`griddle cloud ssh` ends with the exit code of the command that it ran.",
		serve.Command(e),
		serve.ConfigCommand(e),
		machine.Command(e),
		group.Command(e),
		room.Command(e),
		room.OrderCommand(e),
		inventory.Command(e),
		settings.Command(e),
		layout.Command(e),
		rule.Command(e),
		multicast.Command(e),
		clouds.Command(e),
		publish.Command(e),
		image.Command(e),
		key.Command(e),
		catalog.Command(e),
		store.Command(e),
		remote.Command(e),
		remote.LoginCommand(e),
		remote.LogoutCommand(e),
		accounts.Command(e),
		accounts.TokenCommand(e),
		accounts.AuditCommand(e),
		bench.Command(e),
		versionCommand(e),
		docsCommand(e),
	)
	root.Version = readBuild().Version
	root.SetVersionTemplate("griddle {{.Version}}\n")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(e.Stdin)
	root.SetOut(e.Stdout)
	root.SetErr(e.Stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return cli.WithHint(cli.Usage(err), "See `%s --help`.", c.CommandPath())
	})
	e.OutputFlags(root)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	cli.MarkUsage(root)
	return root
}
