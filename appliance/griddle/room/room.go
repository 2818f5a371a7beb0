// Package room is `griddle room`, which gives many machines their jobs by one order, and `griddle order`, which shows
// such orders and changes how they go.
package room

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// Command is `griddle room`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("room", "Install, update and command many machines by one order",
		"Give many machines their jobs by one order. The server carries it out: at most so many machines at once,\n"+
			"one after the other, in waves. It continues after a restart of the server, and this computer may be\n"+
			"switched off meanwhile. `griddle order` shows orders, holds, continues, cancels and retries them.\n\n"+
			"Each command first shows what each machine gets, and names what each disk loses. Then it asks once.\n"+
			"docs/ROOM.md tells more.")
	r := &rooms{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(r.installCommand(), r.updateCommand(), r.rollOutCommand(), r.rebootCommand(), r.relayCommand())
	return c
}

// rooms is what the commands of the group share.
type rooms struct {
	e      *cli.Env
	remote *cli.Remote
}

// with makes the RunE of a command: it connects, calls do, and explains its error.
func (r *rooms) with(do func(ctx context.Context, client *api.Client, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(c *cobra.Command, args []string) error {
		client, err := r.remote.Client()
		if err != nil {
			return err
		}
		return cli.ExplainMachine(do(c.Context(), client, args))
	}
}

// asked is what a command of the group is asked for with.
type asked struct {
	api.MakeOrder
	layout     string // file
	from       string // file with names
	group, tag string

	pause, begin, silence time.Duration
	waves, failures       string

	preview, yes, wait bool
}

const selectHelp = "MACHINE is a name, a MAC address or a UUID, or the name of a group for all of its machines.\n" +
	"--from FILE adds the names in a file, one in each line; - is the standard input. --group, --tag and\n" +
	"--where add the machines that match all of them when the order is made. Without --image, a group gets\n" +
	"its own image.\n\n"

const goHelp = "With --at-most N, no more than N machines have a job at once; --pause is the least time between two\n" +
	"that get theirs. With --waves 5,25,100, a wave of 5 percent of the machines begins, then as many that 25\n" +
	"percent have begun, then the others; a wave begins when all machines of those before have ended. Which\n" +
	"machines are the first differs from order to order.\n\n" +
	"If more machines fail than --failures says, the order holds by itself, and gives no further machine a\n" +
	"job, until `griddle order continue`. A machine that began and then says nothing for --silence has failed.\n" +
	"A job that its machine does not begin within --begin is taken back, and the machine is skipped.\n\n" +
	"A machine that another order has, or that has another job, is skipped, and says so.\n\n" +
	"--preview shows what would happen, and changes nothing. In a script, --plan HASH agrees to what the\n" +
	"preview shows: if that has changed, nothing is ordered. --wait waits until the order ends or holds; the\n" +
	"exit code is then 1 if a machine did not get what it should."

// flags adds the flags that all commands of the group have.
func (r *rooms) flags(c *cobra.Command, in *asked) {
	f := c.Flags()
	if !in.Kind.IsAction() {
		f.StringVar(&in.Options.Image, "image", "", "`IMAGE`, NAME[:VERSION|:CHANNEL]; all machines get the same "+
			"version")
		cli.CompleteFlag(c, "image", cli.ServerImages(r.remote))
	}
	f.StringVar(&in.from, "from", "", "`FILE` with names of machines, one in each line")
	f.StringVar(&in.group, "group", "", "the machines of this group: `NAME`")
	f.StringVar(&in.tag, "tag", "", "the machines that have this tag: `TAG`")
	f.StringVar(&in.Filter, "where", "", "the machines for which these terms are true: `KEY=VALUE...`, such as "+
		"\"state=deployed tag!=spare\"")
	f.IntVar(&in.Limits.AtMost, "at-most", 0, "`N` machines have a job at once; 0 is all of them")
	f.DurationVar(&in.pause, "pause", 0, "least `TIME` between two machines that get their jobs, such as 30s")
	f.StringVar(&in.waves, "waves", "", "rising shares in percent that end with 100: `5,25,100`")
	f.StringVar(&in.failures, "failures", "", "`N|P%` machines may fail; with more, the order holds (default 0 with "+
		"--waves, else any number)")
	f.IntVar(&in.Limits.Retries, "retries", 0, "how often a machine that failed gets another job by itself: `N`")
	f.DurationVar(&in.begin, "begin", 0, "a job that is not begun after this `TIME` is taken back (default 1h with "+
		"--at-most, --pause or --waves, else never)")
	f.DurationVar(&in.silence, "silence", 30*time.Minute, "a machine that says nothing for this `TIME` after it "+
		"began has failed")
	f.BoolVar(&in.Options.Replace, "replace", false, "cancel the jobs that wait or run on the machines")
	f.BoolVar(&in.preview, "preview", false, "show what would happen, and change nothing")
	f.StringVar(&in.Plan, "plan", "", "`HASH` of what you agree to, as --preview prints it")
	f.BoolVar(&in.wait, "wait", false, "wait until the order has ended or holds")
	cli.YesFlag(c, &in.yes)
	cli.CompleteFlag(c, "from", cli.Files)
}

// command completes a command of the group.
func (r *rooms) command(c *cobra.Command, in *asked, check func() error) *cobra.Command {
	c.ValidArgsFunction = cli.Each(cli.Machines(r.remote))
	run := r.with(func(ctx context.Context, client *api.Client, args []string) error {
		if err := r.names(in, args); err != nil {
			return err
		}
		return r.order(ctx, client, *in)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.group != "" {
			in.Filter += fmt.Sprintf(" group=%q", in.group)
		}
		if in.tag != "" {
			in.Filter += fmt.Sprintf(" tag=%q", in.tag)
		}
		in.Filter = strings.TrimSpace(in.Filter)
		if len(args) == 0 && in.from == "" && in.Filter == "" {
			return cli.Usagef("name machines or a group, or give --group, --tag, --where or --from")
		}
		if err := errors.Join(in.limits(), check()); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	r.flags(c, in)
	return c
}

// limits reads the flags that say how the order goes.
func (in *asked) limits() error {
	l := &in.Limits
	var errs []error
	for _, d := range []struct {
		flag string
		is   time.Duration
		to   *order.Seconds
	}{{"pause", in.pause, &l.Pause}, {"begin", in.begin, &l.Begin}, {"silence", in.silence, &l.Silence}} {
		if *d.to = order.Seconds(d.is / time.Second); d.is != d.to.Duration() {
			errs = append(errs, fmt.Errorf("--%s: %v is not a whole number of seconds", d.flag, d.is))
		}
	}
	var err error
	if l.Waves, err = order.ParseWaves(in.waves); err != nil {
		errs = append(errs, fmt.Errorf("--waves: %w", err))
	}
	if l.Failures, err = order.ParseAllowance(in.failures); err != nil {
		errs = append(errs, fmt.Errorf("--failures: %w", err))
	}
	if len(l.Waves) > 0 && l.Failures == "" {
		l.Failures = "0"
	}
	if l.Begin == 0 && (l.AtMost > 0 || l.Pause > 0 || len(l.Waves) > 0) {
		l.Begin = 3600
	}
	if len(errs) == 0 {
		errs = append(errs, l.Validate())
	}
	return errors.Join(errs...)
}

// names puts the machines that the command names into the order.
func (r *rooms) names(in *asked, args []string) error {
	in.Machines = args
	if in.from == "" {
		return nil
	}
	var b []byte
	var err error
	if in.from == "-" {
		b, err = io.ReadAll(io.LimitReader(r.e.Stdin, 1<<20))
	} else {
		b, err = cli.ReadSmall(in.from)
	}
	if err != nil {
		return fmt.Errorf("reading the names of machines: %w", err)
	}
	for i, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		switch words := strings.Fields(line); len(words) {
		case 0:
		case 1:
			in.Machines = append(in.Machines, words[0])
		default:
			return cli.Usagef("%s:%d: want one name in each line, and # before a comment", in.from, i+1)
		}
	}
	if len(in.Machines) == 0 {
		return cli.Usagef("%s: it names no machine", in.from)
	}
	return nil
}

// order shows what an order would do, finds out whether the operator agrees, and makes it.
func (r *rooms) order(ctx context.Context, client *api.Client, in asked) error {
	given := in.Plan
	in.Plan = ""
	p, err := client.PreviewOrder(ctx, in.MakeOrder)
	if err != nil {
		return err
	}
	if in.preview {
		return r.e.Print(p, func(w io.Writer) error { return writePreview(w, p) })
	}
	if given == "" && !r.e.Out.Quiet {
		if err := writePreview(r.e.Stderr, p); err != nil {
			return err
		}
		fmt.Fprintln(r.e.Stderr)
	}
	if err := r.agree(p, given, in.yes); err != nil {
		return err
	}
	in.Plan, in.Agreed = p.Hash, map[string]string{}
	for _, m := range p.Machines {
		if m.Agreed != "" {
			in.Agreed[m.ID] = m.Agreed
		}
	}
	o, err := client.MakeOrder(ctx, in.MakeOrder)
	if err != nil {
		return err
	}
	if !in.wait {
		return r.e.Printf(o, "Order %s: %s. %s; `griddle order show %s` shows how it goes.", o.ID, o.What,
			counts(o.Counts), o.ID)
	}
	r.e.Say(fmt.Sprintf("order %s: %s", o.ID, o.What))
	return r.await(ctx, client, o)
}

// agree returns nil if the operator agrees to what the preview shows: by its hash, or on the terminal.
func (r *rooms) agree(p api.OrderPreview, given string, yes bool) error {
	const look = "The same command with --preview shows what each machine gets and loses, and the hash."
	doing := "ordering"
	if p.Gets == 0 {
		why := "no machine was named"
		if len(p.Machines) > 0 {
			m := p.Machines[0]
			if why = m.Refused; m.Has {
				why = fmt.Sprintf("%s has %s already", m.Name, m.Image)
			}
			if len(p.Machines) > 1 {
				why = "of the first, " + name(m) + ": " + why
			}
		}
		return cli.WithHint(fmt.Errorf("%s: no machine gets a job: %s", doing, job.Sentence(why)), look)
	}
	if given != "" && given != p.Hash {
		return cli.WithHint(fmt.Errorf("%s: the plan is now %s, and --plan agrees to %s", doing, p.Hash,
			job.Printable(given)), look)
	}
	if given != "" {
		return nil
	}
	if p.Loses == 0 {
		lost := "Nothing is lost"
		if p.Kind == job.Reboot {
			lost = "What people have not saved is lost"
		}
		return cli.Confirm(r.e, yes, doing, fmt.Sprintf("%s: %s. %s. Order it?", p.What, jobs(p.Gets), lost))
	}
	return cli.Typed(r.e, fmt.Sprint(p.Loses), doing, fmt.Sprintf("Machines that lose data or have a filesystem made "+
		"smaller: %d. To agree to that, type this number:", p.Loses), "In a script, give --plan HASH. "+look)
}

// jobs says how many machines get a job.
func jobs(n int) string {
	if n == 1 {
		return "1 machine gets a job"
	}
	return fmt.Sprintf("%d machines get a job", n)
}
