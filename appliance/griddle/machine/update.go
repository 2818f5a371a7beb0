package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

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
			"An image that is older than the present one needs --allow-older.\n\n" +
			"With --reset, each start of a machine has a fresh system from then on: what people change is gone at\n" +
			"the next start, except for /home and /persistent, and with --reset=home for /persistent alone. That\n" +
			"stays so in later updates, until one has --reset=no.\n\n" +
			"What is wrong with one machine does not keep the others from their updates; the exit code is then 1.\n" +
			"The same command may be run again: a machine that has its order already keeps it. With --wait, the\n" +
			"command ends when all updates have ended, and fails if one of them failed. It does not wait for a\n" +
			"machine that is away, or whose service cannot begin, and not longer than half an hour for one that\n" +
			"goes away during its update: that keeps its order, and the exit code is 1.\n\n" +
			"With -o json, each machine that you name has one entry, in the order of the names. \"asked\" is the\n" +
			"name that you gave. \"error\" says why there is no update, or why it failed.",
		Example: "  griddle machine update lab-1 lab-2 lab-3 --image web:stable\n" +
			"  griddle machine update node7 --image web:20261120.1 --when reboot\n" +
			"  griddle machine update node7 --image web:stable --wait\n" +
			"  griddle machine update $(griddle machine list --filter 'image=web:*' -q) --image web:stable",
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
		if _, err := job.ParseReset(in.Reset); err != nil {
			return cli.Usage(err)
		}
		return run(c, args)
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to update to, NAME[:VERSION|:CHANNEL]")
	c.Flags().StringVar(&in.When, "when", "now", "when the new system starts: `now|reboot|TIME`")
	c.Flags().BoolVar(&in.AllowOlder, "allow-older", false, "the image may be older than the present one")
	resetFlag(c, &in.Reset)
	c.Flags().BoolVar(&in.Replace, "replace", false, "cancel the job that waits or runs on a machine, in the same step")
	c.Flags().BoolVar(&wait, "wait", false, "wait until all updates have ended")
	cli.CompleteFlag(c, "image", cli.ServerImages(m.remote))
	cli.CompleteFlag(c, "when", cli.Words("now", "reboot"))
	return c
}

// result is what came of a machine that the command names.
type result struct {
	Asked        string `json:"asked"` // as the command names it
	*api.Machine        // nil if the server refused the order
	Error        string `json:"error,omitempty"` // why there is no update, or why it failed

	err   error
	said  string    // its status, as it was shown last
	heard time.Time // when the server had heard of it last, by the clock of this command
}

func (r *result) fail(err error) { r.err, r.Error = err, job.Sentence(err.Error()) }

// update orders an update of each machine. What is wrong with one does not keep others from theirs.
func (m *machines) update(ctx context.Context, client *api.Client, keys []string, in api.Update, wait bool) error {
	all := make([]*result, len(keys))
	for i, key := range keys {
		all[i] = &result{Asked: job.Printable(key)}
	}
	for i, one := range all {
		got, err := client.Update(ctx, keys[i], in)
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
		if m.e.ForPeople() && !wait {
			fmt.Fprintln(m.e.Stdout, answer(got))
		} else if m.e.ForPeople() {
			m.e.Say(answer(got))
		}
	}
	if wait {
		if err := m.await(ctx, client, all); err != nil {
			return err
		}
	}
	failed := failures(all, "updating")
	if !m.e.ForPeople() {
		failed = append(failed, m.e.Print(all, func(io.Writer) error { return nil }))
	}
	return errors.Join(failed...)
}

// ofMachine says whether an order was refused for what the machine or the image is. Otherwise the others would get the
// same answer, or none.
func ofMachine(err error) bool {
	var p *job.Problem
	return errors.As(err, &p) && !job.Retryable(err) && p.Status != http.StatusUnauthorized &&
		p.Status != http.StatusForbidden
}

// errSkipped is why machines were not tried after the server could not answer for one.
var errSkipped = errors.New("not tried; run the command again")

// printable lists names that a person typed.
func printable(keys []string) string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = job.Printable(key)
	}
	return strings.Join(out, ", ")
}

func skip(all []*result) {
	for _, one := range all {
		one.fail(errSkipped)
	}
}

// failures are the errors of a command that was doing something, those that say the same as one.
func failures(all []*result, doing string) (out []error) {
	what := func(r *result) string {
		if r.Machine == nil || r.Job == nil {
			return ": " + r.Error
		}
		if r.Job.Spec.Kind.IsAction() {
			return ": " + r.Error
		}
		return " to " + r.Job.Spec.Image.Ref + ": " + r.Error
	}
	done := map[string]bool{}
	for i, one := range all {
		if one.err == nil || done[what(one)] {
			continue
		}
		done[what(one)] = true
		var names []string
		for _, other := range all[i:] {
			if other.err != nil && what(other) == what(one) {
				names = append(names, other.name())
			}
		}
		text := strings.TrimSuffix(what(one), one.Error)
		out = append(out, fmt.Errorf("%s %s%s%w", doing, strings.Join(names, ", "), text, one.err))
	}
	return out
}

// name is that of the machine, as far as it is known.
func (r *result) name() string {
	if r.Machine != nil {
		return r.Name
	}
	return r.Asked
}

// answer is what a machine gets, in a line.
func answer(m api.Machine) string {
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
	if m.Away && m.Service != nil {
		return fmt.Sprintf("%s is away since %s. It gets %s when it is back%s.", m.Name, seen(m.Service.Time),
			spec.Image.Ref, when)
	}
	return fmt.Sprintf("%s gets %s at its next check-in%s.", m.Name, spec.Image.Ref, when)
}
