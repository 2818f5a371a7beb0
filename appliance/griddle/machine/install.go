package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/griddle/machine/agree"
	"griddle/appliance/job"
	"griddle/appliance/layout/layoutfile"
)

// ordered is what an install is asked for with.
type ordered struct {
	api.Install
	layout string // file
	plan   string // hash of what was agreed to
	group  string // whose image and layout are meant
}

func (m *machines) installCommand() *cobra.Command {
	var in ordered
	c := &cobra.Command{
		Use:   "install MACHINE... {--image IMAGE | --group GROUP} {--disk RULE | --layout FILE}",
		Short: "Install an image at the machine's next boot, with no key pressed",
		Long: "Install an image on machines at their next boot from the network. No one has to press a key.\n\n" +
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
			"With --layout the disks are divided as FILE says (docs/LAYOUT.md). Each machine has its own plan, made\n" +
			"from the disks that it last reported. The command shows what is lost and what becomes smaller. If that\n" +
			"is anything, it asks once for all machines, and you type the answer. --plan HASH answers in a script;\n" +
			"`griddle machine plan` prints the hash. A machine carries out only the plan that you agreed to. If its\n" +
			"disks have changed since, its job fails, and nothing is written.\n\n" +
			"What is wrong with one machine does not keep the others from their jobs; the exit code is then 1. With\n" +
			"-o json, one machine is an object, and several are a list.\n\n" +
			"With --reset, each start of the machine has a fresh system: what people change is gone at the next\n" +
			"start, except for /home and /persistent, and with --reset=home for /persistent alone.",
		Example: "  griddle machine install 52:54:00:12:34:56 --image web:latest --disk largest\n" +
			"  griddle machine install node7 --image web:20261120.1 --disk serial:S4X1 --erase S4X1\n" +
			"  griddle machine install node8 --image web --disk match:transport=nvme,size=400G..2T\n" +
			"  griddle machine install lab-1 lab-2 lab-3 --image web --layout beside-windows.yaml",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		if in.group != "" {
			if err := in.ofGroup(ctx, client); err != nil {
				return err
			}
			if err := in.check(len(args)); err != nil {
				return cli.Usage(err)
			}
		}
		return m.install(ctx, client, args, in)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := in.check(len(args)); err != nil && in.group == "" {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to install, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&in.Disk, "disk", "", "`RULE` that chooses the disk")
	c.Flags().StringVar(&in.Erase, "erase", "", "`SERIAL|WWN|PATH` of the one disk whose content may be overwritten")
	c.Flags().StringVar(&in.layout, "layout", "", "`FILE` that says how the disks are divided, and what of them stays")
	c.Flags().StringVar(&in.group, "group", "", "`GROUP` whose image is meant without --image, and whose layout "+
		"without --disk and --layout")
	cli.CompleteFlag(c, "group", cli.Groups(m.remote))
	c.Flags().StringVar(&in.plan, "plan", "", "`HASH` of what you agree to, as `griddle machine plan` prints it")
	c.Flags().StringVar(&in.Hostname, "hostname", "", "`NAME` of the installed system, and of the machine from now on")
	c.Flags().StringArrayVar(&in.Args, "arg", nil, "kernel `ARGUMENT` of the installed system; can be repeated")
	resetFlag(c, &in.Reset)
	c.Flags().BoolVar(&in.Replace, "replace", false, "cancel the job that waits or runs on the machine, in the "+
		"same step")
	cli.CompleteFlag(c, "image", cli.ServerImages(m.remote))
	cli.CompleteFlag(c, "layout", cli.Files)
	cli.CompleteFlag(c, "disk", cli.Words("largest", "smallest", "serial:", "wwn:", "path:/dev/",
		"match:"))
	return c
}

// ofGroup takes from the group what no flag says.
func (o *ordered) ofGroup(ctx context.Context, client *api.Client) error {
	g, err := client.Group(ctx, o.group)
	if err != nil {
		return err
	}
	if o.Image == "" {
		o.Image = g.Image
	}
	if o.Disk == "" && o.layout == "" && g.Layout != nil {
		o.Layout, o.layout = g.Layout, "the layout of "+g.Name
	}
	return nil
}

// check says what is wrong with the command's flags, for so many machines.
func (o ordered) check(machines int) error {
	switch {
	case o.Image == "" || o.Disk == "" && o.layout == "":
		return errors.New("--image and --disk are required, or --image and --layout")
	case o.Disk != "" && o.layout != "":
		return errors.New("--disk and --layout: a layout says itself which disks are meant; leave out --disk")
	case o.Erase != "" && o.layout != "":
		return errors.New("--erase and --layout: a layout says itself what is lost, by wipe: true; leave out --erase")
	case o.plan != "" && o.layout == "":
		return errors.New("--plan agrees to the plan of a layout, and --layout is missing")
	case machines > 1 && (o.Hostname != "" || o.Erase != ""):
		return errors.New("--hostname and --erase are for one machine, and the command names several")
	}
	if o.Disk != "" {
		if _, err := job.ParseDiskRule(o.Disk); err != nil {
			return err
		}
	}
	_, err := job.ParseReset(o.Reset)
	return err
}

// install orders an install of each machine.
func (m *machines) install(ctx context.Context, client *api.Client, keys []string, in ordered) error {
	all := make([]*result, len(keys))
	for i, key := range keys {
		all[i] = &result{Asked: job.Printable(key)}
	}
	var plans agree.All
	if in.layout != "" {
		var err error
		if in.Layout == nil {
			in.Layout, err = readLayout(in.layout)
		}
		if err == nil {
			plans, err = m.agree(ctx, client, keys, in)
		}
		if err != nil {
			return err
		}
	}
	for i, one := range all {
		order := in.Install
		if plans.Machines != nil {
			if p := plans.Machines[i]; p.Stops() != nil {
				one.fail(p.Stops())
				continue
			} else if p.Plan != nil {
				order.Plan = p.Plan.Hash
			}
		}
		got, err := client.Install(ctx, keys[i], order)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			one.fail(err)
			if !ofMachine(err) {
				skip(all[i+1:])
				break
			}
			continue
		}
		one.Machine = &got
	}
	return m.tell(all, in)
}

// tell shows what each machine gets.
func (m *machines) tell(all []*result, in ordered) error {
	text := func(w io.Writer) error {
		var err error
		for _, one := range all {
			if one.Machine != nil && err == nil {
				err = m.gets(w, *one.Machine)
			}
		}
		if err == nil && all[0].Machine != nil && in.layout == "" && in.Erase == "" && m.e.Notes() {
			_, err = fmt.Fprintln(w, "A disk that is not blank loses nothing; --erase DISK names one that may be "+
				"overwritten.")
		}
		return err
	}
	if len(all) == 1 {
		if one := all[0]; one.err != nil {
			return one.err
		}
		return m.e.Print(all[0].Machine, text)
	}
	return errors.Join(append(failures(all, "installing"), m.e.Print(all, text))...)
}

// gets says what a machine gets.
func (m *machines) gets(w io.Writer, got api.Machine) error {
	_, err := fmt.Fprintf(w, "%s gets %s. Switch it on, or restart it, with network boot first.\n", got.Name,
		installOf(got.Job.Spec))
	if err == nil && got.Secrets && m.e.Notes() {
		_, err = fmt.Fprint(w, secretsWait(got.Name))
	} else if err == nil && got.Recovers && m.e.Notes() {
		_, err = fmt.Fprint(w, keysWait(got.Name))
	}
	return err
}

// installOf is an image, and where it goes.
func installOf(s job.Spec) string {
	if s.Layout == nil {
		return fmt.Sprintf("%s on disk %s", s.Image.Ref, s.Disk)
	}
	if s.Plan == "" {
		return s.Image.Ref + " as its layout says, if nothing is lost and nothing becomes smaller"
	}
	return s.Image.Ref + " as its layout says, with the plan " + s.Plan
}

// readLayout reads a file with a layout, as it travels.
func readLayout(name string) (json.RawMessage, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the layout: %w", err)
	}
	d, err := layoutfile.Parse(name, b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

// agree has the plans made, shows them and finds out whether the operator agrees.
func (m *machines) agree(ctx context.Context, client *api.Client, keys []string, in ordered) (agree.All, error) {
	all, err := agree.Gather(ctx, client, keys, api.PlanLayout{Image: in.Image, Layout: in.Layout}, true)
	if err == nil && len(keys) == 1 {
		err = all.Machines[0].Stops()
	}
	if err != nil {
		return agree.All{}, err
	}
	if in.plan == "" && !m.e.Out.Quiet {
		if err := all.Text(m.e.Stderr, 100); err != nil {
			return agree.All{}, err
		}
		fmt.Fprintln(m.e.Stderr)
	}
	return all, all.Ask(m.e, in.plan, "installing")
}

func (m *machines) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume MACHINE",
		Short: "Resume an install that began to divide disks by a layout and did not finish",
		Long: "Resume the last install of a machine by a layout, if it failed or was cancelled after it began to\n" +
			"divide the disks. It is the same job with the same plan: the machine completes what it began, at its\n" +
			"next boot from the network. First do what the error of the job says, which `griddle machine show`\n" +
			"has.\n\n" +
			"After a power cut this is not necessary: a job that waits or runs resumes by itself.",
		Example: "  griddle machine resume lab-7",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: m.one(),
		RunE: m.with(func(ctx context.Context, client *api.Client, args []string) error {
			got, err := client.Resume(ctx, args[0])
			if err != nil {
				return err
			}
			return m.e.Print(got, func(w io.Writer) error { return m.gets(w, got) })
		}),
	}
}

// resetFlag is --reset, whose value may be left out.
func resetFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "reset", "", "each start has a fresh system: `system|home|no`; without a value, system")
	c.Flags().Lookup("reset").NoOptDefVal = string(job.ResetSystem)
	cli.CompleteFlag(c, "reset", cli.Words(string(job.ResetSystem), string(job.ResetHome), string(job.ResetNo)))
}

func (m *machines) planCommand() *cobra.Command {
	var image, file string
	var width int
	c := &cobra.Command{
		Use:   "plan MACHINE... --image IMAGE --layout FILE",
		Short: "Show what a layout would do to the disks of machines, and change nothing",
		Long: "Show what `griddle machine install` with this layout would do to the disks of machines, as they last\n" +
			"reported them: the disks today and tomorrow, what is lost, what becomes smaller, what stays, and each\n" +
			"step. Of several machines it shows what each of them loses. Nothing is changed.\n\n" +
			"The last line has the hash that --plan of `griddle machine install` takes. With -o json, \"hash\" is\n" +
			"that, and \"machines\" has the whole plan of each machine. The exit code is 1 if there is no plan for\n" +
			"one of them.",
		Example: "  griddle machine plan lab-7 --image web --layout beside-windows.yaml\n" +
			"  griddle machine plan lab-1 lab-2 lab-3 --image web --layout beside-windows.yaml -o json",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		doc, err := readLayout(file)
		if err != nil {
			return err
		}
		all, err := agree.Gather(ctx, client, args, api.PlanLayout{Image: image, Layout: doc}, false)
		if err == nil && len(args) == 1 && m.e.ForPeople() {
			err = all.Machines[0].Stops()
		}
		if err != nil {
			return err
		}
		return errors.Join(m.e.Print(all, func(w io.Writer) error { return all.Text(w, width) }), all.Err())
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if image == "" || file == "" {
			return cli.Usagef("--image and --layout are required")
		}
		if width < 40 || width > 400 {
			return cli.Usagef("--width: %d is not between 40 and 400", width)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&image, "image", "", "`IMAGE` that would be installed, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&file, "layout", "", "`FILE` that says how the disks are divided, and what of them stays")
	c.Flags().IntVar(&width, "width", 100, "`COLUMNS` of the drawing, 40 to 400")
	cli.CompleteFlag(c, "image", cli.ServerImages(m.remote))
	cli.CompleteFlag(c, "layout", cli.Files)
	return c
}
