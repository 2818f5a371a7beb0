package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/layout/layoutfile"
	"griddle/appliance/order"
)

func (r *rooms) installCommand() *cobra.Command {
	in := &asked{}
	in.Kind = job.Install
	c := r.command(&cobra.Command{
		Use:   "install MACHINE... --image IMAGE {--disk RULE | --layout FILE}",
		Short: "Install an image on many machines",
		Long: "Install an image on many machines, each at its next boot from the network.\n\n" + selectHelp +
			"RULE chooses the disk of each machine, as for `griddle machine install`. A disk that is not blank is\n" +
			"overwritten only with --overwrite: then each machine loses the content that the preview names, and\n" +
			"nothing else. Without it the job of such a machine fails, and nothing is lost. With --layout the disks\n" +
			"are divided as FILE says (docs/LAYOUT.md), and each machine has a plan of its own.\n\n" +
			"If the disks of a machine have changed since the preview, that machine is skipped, and the others get\n" +
			"their jobs.\n\n" + goHelp,
		Example: "  griddle room install lab-1 lab-2 lab-3 --image web:stable --disk largest\n" +
			"  griddle room install --from room.txt --image web:stable --layout classroom.yaml --at-most 10\n" +
			"  griddle room install --from room.txt --image web:stable --disk largest --overwrite --preview",
	}, in, func() error { return in.readInstall() })
	c.Flags().StringVar(&in.Options.Disk, "disk", "", "`RULE` that chooses the disk of each machine")
	c.Flags().BoolVar(&in.Options.Overwrite, "overwrite", false, "the content of these disks may be lost, as the "+
		"preview names it")
	c.Flags().StringVar(&in.layout, "layout", "", "`FILE` that says how the disks are divided, and what of them stays")
	c.Flags().StringArrayVar(&in.Options.Args, "arg", nil, "kernel `ARGUMENT` of the installed systems; can be "+
		"repeated")
	resetFlag(c, &in.Options.Reset)
	cli.CompleteFlag(c, "layout", cli.Files)
	cli.CompleteFlag(c, "disk", cli.Words("largest", "smallest", "match:"))
	return c
}

// readInstall checks the flags of an install, and reads the layout.
func (in *asked) readInstall() error {
	o := &in.Options
	switch {
	case (o.Disk == "") == (in.layout == ""):
		return errors.New("give either --disk or --layout")
	case o.Overwrite && in.layout != "":
		return errors.New("--overwrite and --layout: a layout says itself what is lost, by wipe: true; leave out " +
			"--overwrite")
	}
	if in.layout != "" {
		b, err := os.ReadFile(in.layout)
		if err != nil {
			return fmt.Errorf("reading the layout: %w", err)
		}
		d, err := layoutfile.Parse(in.layout, b)
		if err != nil {
			return err
		}
		o.Layout, err = json.Marshal(d)
		if err != nil {
			return err
		}
	} else if _, err := job.ParseDiskRule(o.Disk); err != nil {
		return err
	}
	_, err := job.ParseReset(o.Reset)
	return err
}

func (r *rooms) updateCommand() *cobra.Command {
	in := &asked{}
	in.Kind = job.Update
	c := r.command(&cobra.Command{
		Use:   "update MACHINE... --image IMAGE",
		Short: "Update many installed machines to another image",
		Long: "Update many installed machines to another image, as `griddle machine update` does for a few. Nothing\n" +
			"is lost: each machine keeps its root of before, and returns to that if the new one does not prove\n" +
			"itself. A machine that has the image already gets no job.\n\n" + selectHelp + goHelp,
		Example: "  griddle room update lab-1 lab-2 lab-3 --image web:stable\n" +
			"  griddle room update --from room.txt --image web:stable --waves 5,25,100 --wait",
	}, in, func() error {
		_, err := job.ParseWhen(in.Options.When)
		_, err2 := job.ParseReset(in.Options.Reset)
		return errors.Join(err, err2)
	})
	c.Flags().StringVar(&in.Options.When, "when", "now", "when the new systems start: `now|reboot|TIME`")
	c.Flags().BoolVar(&in.Options.AllowOlder, "allow-older", false, "the image may be older than the present one")
	resetFlag(c, &in.Options.Reset)
	cli.CompleteFlag(c, "when", cli.Words("now", "reboot"))
	return c
}

func (r *rooms) rollOutCommand() *cobra.Command {
	in := &asked{}
	in.Kind = job.Update
	c := r.command(&cobra.Command{
		Use:   "roll-out GROUP",
		Short: "Update a group to its wanted image, in waves",
		Long: "Update the machines of a group to the image that the group should have, in waves. It is the same as\n" +
			"`griddle room update GROUP --waves 5,25,100`: if a machine fails, the order holds.\n\n" +
			selectHelp + goHelp,
		Example: "  griddle room roll-out lab1\n  griddle room roll-out lab1 --waves 10,100 --failures 2 --wait",
	}, in, func() error { return nil })
	waves := c.Flags().Lookup("waves")
	waves.DefValue = "5,25,100"
	in.waves = waves.DefValue
	c.Args = cobra.ExactArgs(1)
	return c
}

func (r *rooms) rebootCommand() *cobra.Command {
	in := &asked{}
	in.Kind = job.Reboot
	return r.command(&cobra.Command{
		Use:   "reboot MACHINE...",
		Short: "Restart many installed machines",
		Long: "Restart installed machines through their firmware. The service of each machine does that after its\n" +
			"next check-in; what people have not saved is lost. A machine that does not begin within an hour, or\n" +
			"within --begin, is skipped. It restarts at most once.\n\n" + selectHelp + goHelp,
		Example: "  griddle room reboot lab-1 lab-2 lab-3 --pause 10s\n" +
			"  griddle room reboot --from room.txt --at-most 5 --wait",
	}, in, func() error {
		if in.begin == 0 {
			in.Limits.Begin = order.Seconds(job.ActionWait / time.Second)
		}
		return nil
	})
}

func (r *rooms) relayCommand() *cobra.Command {
	in := &asked{}
	in.Kind = job.Relay
	return r.command(&cobra.Command{
		Use:   "relay MACHINE... --image IMAGE",
		Short: "Have machines relay an image to their networks",
		Long: "Have machines relay an image to their networks, each from its next boot from the network on. Their\n" +
			"disks are not used. For the order a machine is done when it relays; it continues to relay until\n" +
			"`griddle machine cancel`.\n\n" + selectHelp + goHelp,
		Example: "  griddle room relay lab1-relay lab2-relay --image web:stable",
	}, in, func() error { return nil })
}

func resetFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "reset", "", "each start has a fresh system: `system|home|no`; without a value, system")
	c.Flags().Lookup("reset").NoOptDefVal = string(job.ResetSystem)
	cli.CompleteFlag(c, "reset", cli.Words(string(job.ResetSystem), string(job.ResetHome), string(job.ResetNo)))
}
