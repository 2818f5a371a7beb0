package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// action is one kind of action on the command line.
type action struct {
	doing string // what the command does to a machine: "restarting"
	gets  string // what a machine does at its next check-in: "restarts"
	// order gives it to a machine.
	order func(ctx context.Context, client *api.Client, key string) (api.Machine, error)
}

// waits are the flags of a command that orders actions.
type waits struct {
	wait    bool
	within  time.Duration
	replace bool
}

func (w *waits) flags(c *cobra.Command) {
	c.Flags().BoolVar(&w.wait, "wait", false, "wait until all machines have done it, or will not do it")
	c.Flags().DurationVar(&w.within, "within", job.ActionWait, "`TIME` in which a machine begins it, or not at all")
	c.Flags().BoolVar(&w.replace, "replace", false, "cancel the job that waits or runs on a machine, in the same step")
}

// seconds is the time in which a machine begins, as the API takes it.
func (w *waits) seconds() int { return int(w.within.Round(time.Second) / time.Second) }

// check says what is wrong with the flags.
func (w *waits) check() error {
	if w.within < time.Second || w.within > job.ActionWaitMost {
		return cli.Usagef("--within is from 1s to %s", job.ActionWaitMost)
	}
	return nil
}

// actionHelp is what the help of each command says that orders actions.
const actionHelp = "What is wrong with one machine does not keep the others from it; the exit code is then 1. " +
	"With --wait\nthe command ends when each machine has done it, or will not do it any more, and says what became " +
	"of it.\nWith -o json, each machine that you name has one entry, in the order of the names: \"asked\" is the " +
	"name\nthat you gave, \"job\" what it got, and \"error\" why there is none or why it failed."

func (m *machines) rebootCommand() *cobra.Command {
	var w waits
	c := &cobra.Command{
		Use:   "reboot MACHINE...",
		Short: "Restart machines whose installed system is up",
		Long: "Restart machines whose installed system is up, through their firmware. All services stop in their " +
			"order,\nas with `reboot` on the machine itself. A machine learns of it with its next check-in, a few " +
			"minutes\nlater. One that is off within the time of --within does not restart later. An update that " +
			"waits for a\nrestart begins with it.\n\n" + actionHelp,
		Example: "  griddle machine reboot node7\n  griddle machine reboot lab-1 lab-2 --wait\n" +
			"  griddle machine reboot node7 --within 10m -o json",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	c.RunE = m.act(&w, action{"restarting", "restarts", func(ctx context.Context, client *api.Client, key string) (
		api.Machine, error) {
		return client.Reboot(ctx, key, api.Reboot{Within: w.seconds(), Replace: w.replace})
	}})
	w.flags(c)
	return c
}

func (m *machines) rollbackCommand() *cobra.Command {
	var w waits
	var root string
	c := &cobra.Command{
		Use:   "rollback MACHINE...",
		Short: "Have machines go back to an earlier root",
		Long: "Have machines go back to an earlier root of their pool, and restart. /home and /persistent stay.\n" +
			"Without --root it is the newest other root that was found good; `griddle machine show` lists the\n" +
			"roots of a machine. If the root does not prove itself, the machine returns to the one that it runs\n" +
			"now. A machine learns of it with its next check-in, a few minutes later.\n\n" + actionHelp,
		Example: "  griddle machine rollback node7\n  griddle machine rollback lab-1 lab-2 --wait\n" +
			"  griddle machine rollback node7 --root web-20261120.1@amd64",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	c.RunE = m.act(&w, action{"going back on", "goes back", func(ctx context.Context, client *api.Client, key string) (
		api.Machine, error) {
		return client.Rollback(ctx, key, api.Rollback{Root: root, Within: w.seconds(), Replace: w.replace})
	}})
	c.Flags().StringVar(&root, "root", "", "`ROOT` to go back to")
	w.flags(c)
	return c
}

// act makes the RunE of a command that orders an action.
func (m *machines) act(w *waits, a action) func(*cobra.Command, []string) error {
	run := m.with(func(ctx context.Context, client *api.Client, keys []string) error {
		return m.actAll(ctx, client, keys, w.wait, a)
	})
	return func(c *cobra.Command, args []string) error {
		if err := w.check(); err != nil {
			return err
		}
		return run(c, args)
	}
}

// actAll orders the action of each machine. What is wrong with one does not keep others from theirs.
func (m *machines) actAll(ctx context.Context, client *api.Client, keys []string, wait bool, a action) error {
	all := make([]*result, len(keys))
	for i, key := range keys {
		all[i] = &result{Asked: job.Printable(key)}
	}
	for i, one := range all {
		got, err := a.order(ctx, client, keys[i])
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
		say := m.e.Say
		if !wait {
			say = func(text string) { fmt.Fprintln(m.e.Stdout, text) }
		}
		if m.e.ForPeople() {
			say(a.answer(got))
		}
	}
	if wait {
		if err := m.awaitActions(ctx, client, all); err != nil {
			return err
		}
	}
	failed := failures(all, a.doing)
	if !m.e.ForPeople() {
		failed = append(failed, m.e.Print(all, func(io.Writer) error { return nil }))
	}
	return errors.Join(failed...)
}

// answer is what a machine does, in a line.
func (a action) answer(m api.Machine) string {
	until := seen(m.Job.Spec.Until)
	if m.Away && m.Service != nil {
		return fmt.Sprintf("%s is away since %s. It %s if it is back before %s.", m.Name, seen(m.Service.Time), a.gets,
			until)
	}
	return fmt.Sprintf("%s %s at its next check-in, or not at all after %s.", m.Name, a.gets, until)
}

// awaitActions waits until the action of each machine has ended, and says what became of it. A machine that began and
// says nothing for half an hour is not waited for.
func (m *machines) awaitActions(ctx context.Context, client *api.Client, all []*result) error {
	for {
		waits := 0
		for _, one := range all {
			if one.Machine == nil || one.Job == nil || one.err != nil || !one.Job.Live() {
				continue
			}
			got, err := client.Machine(ctx, one.ID)
			if ctx.Err() != nil {
				m.e.Say("what was ordered stays ordered; `griddle machine list` shows it, and `griddle machine " +
					"cancel` takes it back")
				return ctx.Err()
			}
			if err != nil && job.Retryable(err) { // the server may be restarting
				waits++
				continue
			}
			if err == nil {
				if got.Job = jobOf(got, one.Job.Spec.ID); got.Job == nil {
					err = errors.New("the server knows nothing of it any more")
				}
			}
			if err != nil {
				one.fail(fmt.Errorf("waiting for it: %w", err))
				continue
			}
			got.Inventory, got.Jobs = nil, nil // as in the answer to the order
			one.hear(got, time.Now())
			one.Machine = &got
			if m.settle(one) {
				waits++
			}
		}
		if waits == 0 {
			return nil
		}
		select {
		case <-time.After(max(askAgain, time.Duration(waits)*askEach)):
		case <-ctx.Done(): // the next look says it
		}
	}
}

// settle says what is new of the action of one, notes how it ended, and reports whether it is to be waited for.
func (m *machines) settle(one *result) bool {
	j := one.Job
	text := ""
	switch {
	case j.State == job.Done:
		text = or(job.Sentence(j.Message), "done")
		if m.e.ForPeople() {
			fmt.Fprintf(m.e.Stdout, "%s: %s\n%s", one.Name, text, said(j.Ran))
		}
		if j.Ran != nil && j.Ran.Exit != 0 {
			one.fail(errors.New(text))
		}
		return false
	case !j.Live():
		one.fail(errors.New(outcome(*j)))
		return false
	case j.State == job.Started && time.Since(one.heard) > lostAfter:
		one.fail(errors.New("the machine began it, and has said nothing for half an hour; look at its screen"))
		return false
	}
	if text = status(*one.Machine); text != one.said && m.e.ForPeople() {
		m.e.Say(fmt.Sprintf("%s: %s", one.Name, text))
	}
	one.said = text
	return true
}

// actionOf is an action in words.
func actionOf(j fleet.Job) string {
	switch j.Spec.Kind {
	case job.Reboot:
		return "restart"
	case job.Run:
		return "program " + job.Words(j.Spec.Argv)
	case job.Rollback:
		return "rollback to " + or(job.Sentence(j.Spec.Root), "the root before")
	default:
		return string(j.Spec.Kind)
	}
}
