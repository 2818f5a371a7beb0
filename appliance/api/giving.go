package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// Orders for many are stepped when something happened, but not more often than stepPause, and at least every stepEvery
// for what only time decides.
const (
	stepPause = time.Second
	stepEvery = 5 * time.Second
)

// CarryOutOrders gives the machines of orders their jobs, until ctx ends. It may be killed at any time; the next call
// continues.
func (h *Handler) CarryOutOrders(ctx context.Context) error {
	for {
		grown := h.o.Fleet.Growth()
		began := time.Now()
		h.stepOrders(ctx)
		// Large orders leave most of the time to the calls of machines.
		if !wait(ctx, max(stepPause, 10*time.Since(began)), nil) || !wait(ctx, stepEvery-stepPause, grown) {
			return nil
		}
	}
}

// wait returns after d, or when early is closed. It returns false if ctx has ended.
func wait(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-t.C:
	}
	return true
}

// stepOrders does once what the live orders say. What fails is tried again at the next call.
func (h *Handler) stepOrders(ctx context.Context) {
	live, err := h.o.Fleet.LiveOrders(ctx)
	for _, id := range live {
		if err = h.stepOrder(ctx, id); err != nil && ctx.Err() == nil {
			h.o.Log.Error("carrying out an order failed; it is tried again", "order", id, "error", err)
		}
	}
	if len(live) == 0 && err != nil && ctx.Err() == nil {
		h.o.Log.Error("reading the orders failed; it is tried again", "error", err)
	}
}

func (h *Handler) stepOrder(ctx context.Context, id string) error {
	o, todo, err := h.o.Fleet.StepOrder(ctx, id)
	if err != nil || len(todo) == 0 {
		return err
	}
	var options OrderOptions
	if err := json.Unmarshal(o.Asked, &options); err != nil {
		return fmt.Errorf("reading what the order gives: %w", err)
	}
	p, err := h.planner(o.Kind, options, o.Limits)
	if err != nil {
		return err
	}
	rows := map[string]order.Machine{}
	for _, m := range o.Machines {
		rows[m.ID] = m
	}
	for _, a := range todo {
		m := rows[a.Machine]
		if a.Do == order.DoTakeBack {
			err = h.o.Fleet.TakeBackOrdered(ctx, id, m.ID)
		} else {
			err = p.give(ctx, id, m)
		}
		if errors.Is(err, order.ErrState) {
			continue // it was held or cancelled meanwhile, or is no more in that state
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// give gives one machine its job, or notes why it gets none.
func (p *planner) give(ctx context.Context, id string, m order.Machine) error {
	f := p.h.o.Fleet
	o, current, err := p.order(ctx, m.ID, m.Image)
	switch {
	case err == nil && current:
		return f.CurrentOrdered(ctx, id, m.ID, fmt.Sprintf("it has %s already", o.Image.Ref))
	case err == nil:
		o.Erase = m.Erase
		if p.o.Layout != nil {
			o.Plan = m.Agreed
		}
		err = p.stillAgreed(ctx, m, o)
	}
	if err == nil && !p.kind.IsAction() {
		_, err = p.h.check(ctx, m.ID, o)
	}
	if err == nil {
		var j fleet.Job
		if _, j, err = f.GiveOrdered(ctx, id, m.ID, o); err == nil {
			p.h.o.Log.Info("job created", "machine", m.Name, "kind", string(j.Spec.Kind), "image", j.Spec.Image.Ref,
				"disk", string(j.Spec.Disk), "erase", job.Sentence(j.Spec.Erase), "plan", j.Spec.Plan, "job", j.Spec.ID,
				"order", id)
		}
	}
	if why, is := refusal(err); is {
		p.h.o.Log.Warn("a machine gets no job by an order", "machine", m.Name, "order", id, "why", why)
		return f.RefuseOrdered(ctx, id, m.ID, why)
	}
	return err
}

// stillAgreed refuses a machine that would lose something else than what was agreed to.
func (p *planner) stillAgreed(ctx context.Context, m order.Machine, o fleet.Order) error {
	if p.kind != job.Install {
		return nil
	}
	if p.o.Layout != nil {
		return p.h.agreed(ctx, m.ID, o)
	}
	if m.Erase == "" {
		return nil // nothing is lost, whatever the disk has by now
	}
	var now PreviewedMachine
	now.ID = m.ID
	if err := p.disk(ctx, &now); err != nil {
		return err
	}
	if now.Erase != m.Erase || now.Agreed != m.Agreed {
		return fmt.Errorf("%w: its disks are not as they were when the loss was agreed to; make another order for it",
			fleet.ErrInvalid)
	}
	return nil
}

// refusal says whether an error is about one machine or one image, and what it says. Others may work later.
func refusal(err error) (string, bool) {
	var p *job.Problem
	switch {
	case err == nil, errors.Is(err, order.ErrState):
		return "", false
	case errors.As(err, &p):
		return job.Sentence(p.Error()), p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests
	}
	for _, of := range []error{fleet.ErrInvalid, fleet.ErrUnknown, fleet.ErrAmbiguous, fleet.ErrBusy, fleet.ErrWeakKey,
		fleet.ErrRetired, ErrNoImage} {
		if errors.Is(err, of) {
			return job.Sentence(err.Error()), true
		}
	}
	return "", false
}
