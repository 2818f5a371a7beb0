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

// askAgain is the pause between two looks at machines that are waited for.
const askAgain = 2 * time.Second

func (m *machines) updateCommand() *cobra.Command {
	var in api.Update
	var wait bool
	c := &cobra.Command{
		Use:   "update MACHINE... --image IMAGE",
		Short: "Update installed machines to another image, and keep what they have",
		Long: "Update installed machines to another image. A machine gets only what it lacks. It makes a new system\n" +
			"beside the one that runs, which works on undisturbed, and starts the new one. /home, /persistent and\n" +
			"its identity stay. If the new system does not prove itself, the machine returns to the one before,\n" +
			"and `griddle machine show` says why.\n\n" +
			"A machine that is up learns of its update with its next check-in. A machine that is off gets it when\n" +
			"it starts, from the network or from its disk.\n\n" +
			"--when says when a machine starts the new system: now, at its next restart (reboot), or at a TIME\n" +
			"such as 2026-11-30T06:00:00+01:00. What it needs is fetched before.\n\n" +
			"An image that is older than the present one needs --allow-older. With --wait, the command ends when\n" +
			"all updates have ended; its exit code is 1 if one of them failed.",
		Example: "  griddle machine update lab-1 lab-2 lab-3 --image web:stable\n" +
			"  griddle machine update node7 --image web:20261120.1 --when reboot\n" +
			"  griddle machine update node7 --image web:stable --wait",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Each(cli.Machines(m.remote)),
	}
	run := m.with(func(ctx context.Context, client *api.Client, args []string) error {
		return m.update(ctx, client, args, in, wait)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.Image == "" {
			return cli.Usagef("--image is required")
		}
		if _, err := job.ParseWhen(in.When); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to update to, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&in.When, "when", "now", "when the new system starts: `now|reboot|TIME`")
	c.Flags().BoolVar(&in.AllowOlder, "allow-older", false, "the image may be older than the present one")
	c.Flags().BoolVar(&in.Replace, "replace", false, "cancel the job that waits or runs on a machine, in the same step")
	c.Flags().BoolVar(&wait, "wait", false, "wait until all updates have ended")
	cli.CompleteFlag(c, "image", cli.ServerImages(m.remote))
	cli.CompleteFlag(c, "when", cli.Words("now", "reboot"))
	return c
}

// update orders an update of each machine. What is wrong with one does not keep others from theirs.
func (m *machines) update(ctx context.Context, client *api.Client, keys []string, in api.Update, wait bool) error {
	var errs []error
	var all []api.Machine
	for _, key := range keys {
		got, err := client.Update(ctx, key, in)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("updating %s: %w", job.Printable(key), err))
			continue
		}
		all = append(all, got)
		if m.e.ForPeople() && !wait {
			fmt.Fprintln(m.e.Stdout, ordered(got))
		} else if m.e.ForPeople() {
			m.e.Say(ordered(got))
		}
	}
	if wait {
		if err := m.await(ctx, client, all); err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, one := range all {
			if j := one.Job; j != nil && j.State != job.Done {
				errs = append(errs, fmt.Errorf("updating %s to %s: %s", one.Name, j.Spec.Image.Ref, outcome(*j)))
			}
		}
	}
	if !m.e.ForPeople() {
		errs = append(errs, m.e.Print(all, func(io.Writer) error { return nil }))
	}
	return errors.Join(errs...)
}

// ordered is what a machine gets, in a line.
func ordered(m api.Machine) string {
	if m.Current {
		return fmt.Sprintf("%s has %s already.", m.Name, imageOf(m))
	}
	spec, when := m.Job.Spec, ""
	if m.Needs != "" {
		return fmt.Sprintf("%s cannot begin its update to %s: %s.", m.Name, spec.Image.Ref, job.Sentence(m.Needs))
	}
	switch at, timed := spec.When.Time(); {
	case timed:
		when = ", and starts it at " + seen(at)
	case spec.When == job.WhenReboot:
		when = ", and starts it when it is restarted"
	}
	return fmt.Sprintf("%s gets %s at its next check-in%s.", m.Name, spec.Image.Ref, when)
}

// await waits until no machine of all has a live job, and keeps their jobs in all.
func (m *machines) await(ctx context.Context, client *api.Client, all []api.Machine) error {
	said := make([]string, len(all))
	for {
		live := false
		for i := range all {
			if err := m.look(ctx, client, &all[i], &said[i]); err != nil {
				return fmt.Errorf("waiting for %s: %w", all[i].Name, err)
			}
			live = live || all[i].Job != nil && all[i].Job.Live()
		}
		if !live {
			return nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look brings the job of one up to date, and says what is new of it since said.
func (m *machines) look(ctx context.Context, client *api.Client, one *api.Machine, said *string) error {
	if one.Job == nil || !one.Job.Live() {
		return nil
	}
	got, err := client.Machine(ctx, one.ID)
	if err != nil && job.Retryable(err) && ctx.Err() == nil {
		return nil // the server may be restarting
	}
	if err != nil {
		return err
	}
	if one.Job = jobOf(got, one.Job.Spec.ID); one.Job == nil {
		return errors.New("the server knows nothing of its update any more")
	}
	now := status(got)
	switch {
	case one.Job.State == job.Done && m.e.ForPeople():
		fmt.Fprintf(m.e.Stdout, "%s has %s.\n", one.Name, one.Job.Spec.Image.Ref)
	case one.Job.Live() && now != *said && m.e.ForPeople():
		m.e.Say(fmt.Sprintf("%s: %s", one.Name, now))
	}
	*said = now
	return nil
}

// jobOf is the job of a machine with this ID, nil for none.
func jobOf(m api.Machine, id string) *fleet.Job {
	for i, j := range m.Jobs {
		if j.Spec.ID == id {
			return &m.Jobs[i]
		}
	}
	return nil
}

// outcome is how a job ended that is not done.
func outcome(j fleet.Job) string {
	return or(job.Sentence(j.Message), string(j.State))
}
