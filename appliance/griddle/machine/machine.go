// Package machine is `griddle machine`: it shows the machines that the server knows, installs images on them and
// updates them.
package machine

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// Command is `griddle machine`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("machine", "Show machines, install and update them",
		"Show the machines that the server knows, install images on them, update them, and watch.\n\n"+
			"MACHINE is a name, a MAC address or a UUID. `list` marks with * each machine that no operator named:\n"+
			"all that is known of it was received from the network, and the server forgets the oldest of them\n"+
			"when there are too many.")
	m := &machines{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(m.listCommand(), m.showCommand(), m.installCommand(), m.updateCommand(), m.cancelCommand(),
		m.logCommand(), m.approveCommand(), m.auditCommand(), m.settingsCommand(), m.setCommand(), m.renameCommand(),
		m.mergeCommand(), m.deleteCommand())
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

func (m *machines) installCommand() *cobra.Command {
	var in api.Install
	c := &cobra.Command{
		Use:   "install MACHINE --image IMAGE --disk RULE",
		Short: "Install an image at the machine's next boot, with no key pressed",
		Long: "Install an image on a machine at its next boot from the network. No one has to press a key.\n\n" +
			"A MAC address or UUID that was never seen is fine: the job waits for that machine. The job goes to\n" +
			"the machine that reports the address, UUID or name that you give, whatever else it reports.\n\n" +
			"RULE chooses the disk: largest, smallest, serial:SERIAL, wwn:NAME, path:/dev/NAME (also by-path), or\n" +
			"match:KEY=VALUE,... with the keys model, serial, wwn and path (* is any text, ? any character), size\n" +
			"(largest, smallest or a range: 100G..2T), transport (nvme, sata, scsi, virtio, mmc, usb or\n" +
			"firewire) and rotational (yes, no). One disk must fit all of them.\n" +
			"largest, smallest and match without serial, wwn or path never choose removable disks: SD cards, USB\n" +
			"sticks, disks in a USB enclosure.\n\n" +
			"A disk that is not blank is overwritten only if --erase names it; without that the job fails and lists\n" +
			"what would be lost. Blank means that all that is read of the disk is 0x00, or all is 0xff; content\n" +
			"that is not recognized is not blank. On a disk with a pool of this machine, /home and /persistent stay\n" +
			"without --erase.\n\n" +
			"With --reset, each start of the machine has a fresh system: what people change is gone at the next\n" +
			"start, except for /home and /persistent, and with --reset=home for /persistent alone.",
		Example: "  griddle machine install 52:54:00:12:34:56 --image web:latest --disk largest\n" +
			"  griddle machine install node7 --image web:20261120.1 --disk serial:S4X1 --erase S4X1\n" +
			"  griddle machine install node8 --image web --disk match:transport=nvme,size=400G..2T",
		Args: cobra.ExactArgs(1), ValidArgsFunction: m.one(),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		got, err := client.Install(ctx, args[0], in)
		if err != nil {
			return err
		}
		return m.e.Print(got, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s gets %s on disk %s. Switch it on, or restart it, with network boot first.\n",
				got.Name, got.Job.Spec.Image.Ref, got.Job.Spec.Disk)
			if err == nil && in.Erase == "" && m.e.Notes() {
				_, err = fmt.Fprintln(w, "A disk that is not blank loses nothing; --erase DISK names one that may "+
					"be overwritten.")
			}
			if err == nil && got.Secrets && m.e.Notes() {
				_, err = fmt.Fprint(w, secretsWait(got.Name))
			}
			return err
		})
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.Image == "" || in.Disk == "" {
			return cli.Usagef("--image and --disk are required")
		}
		if _, err := job.ParseDiskRule(in.Disk); err != nil {
			return cli.Usage(err)
		}
		if _, err := job.ParseReset(in.Reset); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to install, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&in.Disk, "disk", "", "`RULE` that chooses the disk")
	c.Flags().StringVar(&in.Erase, "erase", "", "`SERIAL|WWN|PATH` of the one disk whose content may be overwritten")
	c.Flags().StringVar(&in.Hostname, "hostname", "", "`NAME` of the installed system, and of the machine from now on")
	c.Flags().StringArrayVar(&in.Args, "arg", nil, "kernel `ARGUMENT` of the installed system; can be repeated")
	resetFlag(c, &in.Reset)
	c.Flags().BoolVar(&in.Replace, "replace", false, "cancel the job that waits or runs on the machine, in the "+
		"same step")
	cli.CompleteFlag(c, "image", cli.ServerImages(m.remote))
	cli.CompleteFlag(c, "disk", cli.Words("largest", "smallest", "serial:", "wwn:", "path:/dev/",
		"match:"))
	return c
}
