// Package machine is `griddle machine`: it shows the machines that the appliance knows, and installs them.
package machine

import (
	"fmt"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("machine", "See machines and install them",
		"See the machines that the appliance knows, install images onto them, and watch.\n\n"+
			"A machine is named by its name, a MAC address or its UUID. Machines that no operator named are what strangers on the\n"+
			"network say: `list` marks them with a *, and the server forgets the oldest of them when there are too many.")
	m := &machines{e: e, remote: cli.RemoteFlags(e, c)}
	m.out.AddBelow(c)
	c.AddCommand(m.listCommand(), m.showCommand(), m.installCommand(), m.cancelCommand(), m.logCommand(), m.renameCommand(), m.mergeCommand(), m.deleteCommand())
	return c
}

// machines is what the commands of the group have in common.
type machines struct {
	e      *cli.Env
	remote *cli.Remote
	out    cli.Output
}

func (m *machines) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List all machines",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			if m.out.JSON() {
				return m.listJSON(c.Context(), client)
			}
			return m.listTable(c.Context(), client)
		},
	}
}

func (m *machines) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show MACHINE",
		Short: "Show one machine: what it is, its disks and its jobs",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Machine(c.Context(), args[0])
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() { pageOf(m.e.Stdout, got) })
		},
	}
}

func (m *machines) installCommand() *cobra.Command {
	var in api.Install
	c := &cobra.Command{
		Use:   "install MACHINE --image IMAGE --disk RULE",
		Short: "Install an image at the machine's next boot, with no key pressed",
		Long: "Install an image onto a machine at its next boot from the network, with no key pressed.\n\n" +
			"A MAC address or UUID that was never seen is fine: the job waits for that machine.\n" +
			"The order goes to the machine that says the address, UUID or name that you give, whatever UUID it says beside it.\n" +
			"RULE chooses the disk: largest, smallest, serial:SERIAL, wwn:NAME or path:/dev/NAME (also by-path). largest and\n" +
			"smallest never take what people plug in: SD cards, USB sticks, disks in a box. A disk that is not blank is left\n" +
			"alone, and the job fails with the list of what would be lost, unless --erase names that disk. Blank means that\n" +
			"all that is read of the disk is zeros, or all is 0xff; what is not recognised is not blank.",
		Example: "  griddle machine install 52:54:00:12:34:56 --image web:latest --disk largest\n" +
			"  griddle machine install node7 --image web:20261120.1 --disk serial:S4X1 --erase S4X1",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if in.Image == "" || in.Disk == "" {
				return cli.Usagef("--image and --disk are needed")
			}
			if _, err := job.ParseDiskRule(in.Disk); err != nil {
				return cli.Usage(err)
			}
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Install(c.Context(), args[0], in)
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() {
				fmt.Fprintf(m.e.Stdout, "%s gets %s on disk %s. Switch it on, or restart it, with network boot first.\n",
					got.Name, got.Job.Spec.Image.Ref, got.Job.Spec.Disk)
				if in.Erase == "" {
					fmt.Fprintln(m.e.Stdout, "A disk that is not blank will be left alone; --erase DISK names one that may be destroyed.")
				}
			})
		},
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to install, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&in.Disk, "disk", "", "`RULE` that chooses the disk")
	c.Flags().StringVar(&in.Erase, "erase", "", "`SERIAL|WWN|PATH` of the one disk whose content may be destroyed")
	c.Flags().StringVar(&in.Hostname, "hostname", "", "`NAME` of the installed system, and of the machine from now on")
	c.Flags().StringArrayVar(&in.Args, "arg", nil, "kernel `ARGUMENT` of the installed system; may be given again")
	c.Flags().BoolVar(&in.Replace, "replace", false, "take back the job that waits or runs on the machine, in the same step")
	return c
}

func (m *machines) cancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel MACHINE",
		Short: "Take back the job that waits for a machine or runs on it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := m.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Cancel(c.Context(), args[0])
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return m.out.Print(m.e, got, func() {
				fmt.Fprintf(m.e.Stdout, "%s: the job with %s is cancelled.\n", got.Name, got.Job.Spec.Image.Ref)
				if disk := got.Job.Spec.Started; disk != "" {
					fmt.Fprintf(m.e.Stdout, "It had begun to write on disk %s, which holds nothing usable now.\n", job.Printable(disk))
				}
			})
		},
	}
}
