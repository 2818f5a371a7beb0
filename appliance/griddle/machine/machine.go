// Package machine is `griddle machine`: it shows the machines that the server knows, installs images on them, updates
// them and erases their disks.
package machine

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
)

// Command is `griddle machine`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("machine", "Show machines, install and update them",
		"Show the machines that the server knows, install images on them, update them, erase their disks, and "+
			"watch.\n\n"+
			"MACHINE is a name, a MAC address or a UUID. `list` marks with * each machine that no operator named:\n"+
			"all that is known of it was received from the network, and the server forgets the oldest of them\n"+
			"when there are too many.")
	m := &machines{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(m.listCommand(), m.showCommand(), m.installCommand(), m.planCommand(), m.resumeCommand(),
		m.updateCommand(),
		m.rebootCommand(), m.rollbackCommand(), m.runCommand(),
		m.eraseCommand(),
		m.cancelCommand(),
		m.consoleCommand(),
		m.logCommand(), m.tablesCommand(), m.approveCommand(), m.auditCommand(), m.settingsCommand(),
		m.setCommand(), m.recoveryKeyCommand(), m.tagCommand(), m.groupCommand(), m.placeCommand(), m.noteCommand(),
		m.retireCommand(),
		m.replaceCommand(), m.exportCommand(), m.importCommand(), m.renameCommand(), m.mergeCommand(),
		m.deleteCommand())
	return c
}

// machines is what the commands of the group share.
type machines struct {
	e      *cli.Env
	remote *cli.Remote
}

// with makes the RunE of a command that asks the server about a machine: it connects, calls do, and explains its error.
func (m *machines) with(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := m.remote.Client()
		if err != nil {
			return err
		}
		return cli.ExplainMachine(do(c.Context(), client, args))
	}
}

// one completes the command's first argument, a machine.
func (m *machines) one() cobra.CompletionFunc { return cli.Arguments(cli.Machines(m.remote)) }

func (m *machines) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show MACHINE",
		Short:   "Show one machine: its hardware, disks and jobs",
		Example: "  griddle machine show node7\n  griddle machine show 52:54:00:12:34:56 -o yaml",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Machine(ctx, args[0])
			if err != nil {
				return err
			}
			return m.e.Print(got, func(w io.Writer) error { return pageOf(w, got) })
		}),
	}
}
