package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// obey makes the job that a rule orders for the machine that said hello, or notes why there is none: then the machine
// asks its user.
func (h *Handler) obey(ctx context.Context, by fleet.Proof, g *fleet.Greeting) error {
	r := *g.Rule
	order, why := h.ruled(ctx, r, g.Machine)
	if why != "" {
		noted, err := h.o.Fleet.StopRule(ctx, by, r, why)
		if noted {
			h.o.Log.Warn("a rule installs nothing", "rule", r.Name, "machine", g.Machine.Name, "why",
				job.Sentence(why))
		}
		return over(err)
	}
	j, home, err := h.o.Fleet.Follow(ctx, by, r, order)
	if err != nil {
		return over(err)
	}
	h.o.Log.Info("job created by a rule", "rule", r.Name, "machine", g.Machine.Name, "image", j.Spec.Image.Ref,
		"disk", string(j.Spec.Disk), "job", j.Spec.ID)
	g.Job, g.Home = &j, home
	return nil
}

// over leaves out that something else was ordered for the machine in the meantime, which its next hello gets.
func over(err error) error {
	if errors.Is(err, fleet.ErrOver) {
		return nil
	}
	return err
}

// ruled is the order of a rule for a machine, or why there is none. It never allows the loss of data.
func (h *Handler) ruled(ctx context.Context, r rule.Rule, m fleet.Machine) (o fleet.Order, why string) {
	in := Install{Image: r.Install.Image, Disk: string(r.Install.Disk)}
	if l := r.Install.Layout; l != nil {
		b, err := json.Marshal(l)
		if err != nil {
			return o, err.Error()
		}
		in.Layout = b
	}
	o, err := h.order(ctx, job.Install, in)
	if err != nil {
		return o, fmt.Sprintf("image %s: %v", r.Install.Image, err)
	}
	if m.Inventory.Cut {
		return o, errCut
	}
	if why := r.Install.Stops(m.Inventory.Disks, job.DiskNeeds(o.Image.Size+o.Kernel.Size)); why != "" {
		return o, why
	}
	d, err := fleet.Job{Rule: &fleet.Ruled{Name: r.Name, Settings: r.Install.Settings}}.RuleSettings()
	if err == nil {
		_, err = h.checkRuled(ctx, m.ID, o, d)
	}
	if err != nil {
		return o, err.Error()
	}
	return o, ""
}
