package room

import (
	"context"
	"fmt"
	"io"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// askAgain is the pause between two looks at an order that is waited for.
const askAgain = 2 * time.Second

// await waits until an order has ended, or holds, and says what becomes of each machine.
func (r *rooms) await(ctx context.Context, client *api.Client, o api.Order) error {
	live := cli.NewLive(r.e.Stderr)
	defer live.Clear()
	said := map[string]string{}
	for {
		for _, m := range o.Machines {
			now := line(m)
			if m.State == order.Waiting || said[m.ID] == now || !r.e.ForPeople() {
				continue
			}
			said[m.ID] = now
			live.Clear()
			r.e.Say(now)
		}
		if over(o) {
			live.Clear()
			if err := r.e.Print(o, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "Order %s is %s. %s.\n", o.ID, o.State, counts(o.Counts))
				return err
			}); err != nil {
				return err
			}
			return missed(o)
		}
		if r.e.Notes() {
			live.Draw(counts(o.Counts))
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			live.Clear()
			r.e.Say(fmt.Sprintf("the order continues; `griddle order show %s` shows how it goes", o.ID))
			return ctx.Err()
		}
		got, err := client.Order(ctx, o.ID)
		if err != nil && job.Retryable(err) {
			continue // the server may be restarting
		}
		if err != nil {
			return fmt.Errorf("waiting for order %s: %w", o.ID, err)
		}
		o = got
	}
}

// over says whether there is nothing to wait for.
func over(o api.Order) bool {
	return o.State == order.Done || o.State == order.Held || o.State == order.Cancelled && o.Counts.Given == 0
}

// missed is why an order did not give all machines what they should have.
func missed(o api.Order) error {
	c := o.Counts
	switch bad := c.Failed + c.Skipped + c.Cancelled; {
	case o.State == order.Held:
		return cli.WithHint(fmt.Errorf("order %s holds: %s", o.ID, job.Sentence(o.Why)), "`griddle order show %s` "+
			"says what became of each machine; `griddle order continue %s` continues.", o.ID, o.ID)
	case bad > 0:
		return cli.WithHint(fmt.Errorf("order %s: %d machines did not get what they should", o.ID, bad),
			"`griddle order show %s` says why; `griddle order retry %s` gives them another job.", o.ID, o.ID)
	}
	return nil
}

// line is what became of a machine.
func line(m order.Machine) string {
	out := fmt.Sprintf("%s: %s", job.Printable(m.Name), state(m))
	if m.Why != "" {
		out += ": " + job.Sentence(m.Why)
	}
	return out
}

// state is the state of a machine in words.
func state(m order.Machine) string {
	switch {
	case m.Parked:
		return "ready, and waits for its start"
	case m.State == order.Given:
		return "has its job"
	case m.State == order.Waiting:
		return "waits"
	}
	return string(m.State)
}
