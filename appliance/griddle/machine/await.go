package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// askAgain is the least pause between two looks at machines that are waited for, and askEach the share of one machine
// in it: a room of them does not keep the server busy.
const (
	askAgain = 2 * time.Second
	askEach  = 100 * time.Millisecond
)

// lostAfter is how long a machine may say nothing in its update before it is no longer waited for. A start that fails,
// and the one that follows it, take less.
const lostAfter = 30 * time.Minute

// await waits until the update of each machine has ended, or cannot begin, and says what became of it.
func (m *machines) await(ctx context.Context, client *api.Client, all []*result) error {
	live := cli.NewLive(m.e.Stderr)
	defer live.Clear()
	for {
		waits := 0
		for _, one := range all {
			if one.Machine == nil || one.Job == nil || !one.Job.Live() {
				continue
			}
			if err := m.look(ctx, client, one, live); err != nil {
				if ctx.Err() != nil {
					live.Clear()
					m.e.Say("the updates continue; `griddle machine list` shows them")
					return ctx.Err()
				}
				one.fail(fmt.Errorf("waiting for it: %w", err))
				one.Job = nil
			} else if one.Job.Live() && stuck(one, time.Now()) == nil {
				waits++
			}
		}
		if waits == 0 {
			conclude(all, time.Now())
			return nil
		}
		if m.e.Notes() {
			live.Draw(summary(all))
		}
		select {
		case <-time.After(max(askAgain, time.Duration(waits)*askEach)):
		case <-ctx.Done(): // the next look says it
		}
	}
}

// look brings the job of one up to date, and says what is new.
func (m *machines) look(ctx context.Context, client *api.Client, one *result, live *cli.Live) error {
	got, err := client.Machine(ctx, one.ID)
	if err != nil && job.Retryable(err) && ctx.Err() == nil {
		return nil // the server may be restarting
	}
	if err != nil {
		return err
	}
	if got.Job = jobOf(got, one.Job.Spec.ID); got.Job == nil {
		return errors.New("the server knows nothing of its update any more")
	}
	got.Inventory, got.Jobs = nil, nil // as in the answer to the order
	one.hear(got, time.Now())
	one.Machine = &got
	now := course(got)
	if !m.e.ForPeople() || now == one.said && got.Job.Live() {
		return nil
	}
	one.said = now
	live.Clear()
	switch {
	case got.Job.State == job.Done:
		fmt.Fprintf(m.e.Stdout, "%s has %s.\n", got.Name, got.Job.Spec.Image.Ref)
	case got.Job.Live():
		m.e.Say(fmt.Sprintf("%s: %s", got.Name, now))
	default:
		m.e.Say(fmt.Sprintf("%s: %s: %s", got.Name, now, outcome(*got.Job)))
	}
	return nil
}

// course is the status of a machine without the progress of its update, which would be news with each look.
func course(m api.Machine) string {
	if m.Job.Progress != nil {
		j := *m.Job
		j.Progress, m.Job = nil, &j
	}
	return status(m)
}

// hear notes whether the server has heard of the machine since the look before.
func (r *result) hear(m api.Machine, now time.Time) {
	if silent := m.Away || m.Service == nil; !silent || !m.Job.Changed.Equal(r.Job.Changed) || r.heard.IsZero() {
		r.heard = now
	}
}

// stuck is why the update of a machine is not waited for: it has not begun, and may not begin for long; or the machine
// has said nothing of it for long.
func stuck(one *result, now time.Time) error {
	m := one.Machine
	switch {
	case m.Job.State != job.Pending && now.Sub(one.heard) < lostAfter:
		return nil
	case m.Job.State != job.Pending && m.Service != nil:
		return fmt.Errorf("the machine is away since %s, and its update had begun; look at its screen: it "+
			"continues when it is back", seen(m.Service.Time))
	case m.Job.State != job.Pending:
		return errors.New("the machine has begun its update, and has said nothing since; look at its screen")
	case m.Needs != "":
		return errors.New(job.Sentence(m.Needs))
	case m.Away && m.Service != nil:
		return fmt.Errorf("the machine is away since %s, and gets it when it is back", seen(m.Service.Time))
	}
	return nil
}

// conclude notes what failed of the updates that were waited for.
func conclude(all []*result, now time.Time) {
	for _, one := range all {
		if one.Machine == nil || one.Job == nil {
			continue
		}
		switch j := one.Job; {
		case j.Live():
			one.fail(stuck(one, now))
		case j.State != job.Done:
			one.fail(errors.New(outcome(*j)))
		}
	}
}

// summary is a line of at most 80 characters about all machines.
func summary(all []*result) string {
	var done, failed, begun, waiting int
	for _, one := range all {
		switch {
		case one.Machine == nil:
			failed++
		case one.Job == nil && one.err == nil || one.Job != nil && one.Job.State == job.Done:
			done++
		case one.Job == nil || !one.Job.Live():
			failed++
		case one.Job.State == job.Pending:
			waiting++
		default:
			begun++
		}
	}
	parts := []string{fmt.Sprintf("%d of %d have it", done, len(all))}
	for _, p := range []struct {
		n    int
		what string
	}{{begun, "updating"}, {waiting, "not begun"}, {failed, "failed"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
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
