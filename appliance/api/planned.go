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
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// PlanLayout asks what a layout would do to the disks of a machine. Nothing is changed.
type PlanLayout struct {
	Image  string          `json:"image"`
	Layout json.RawMessage `json:"layout"` // a layout.Document
}

// Planned is what a layout would do to the disks that a machine last reported.
type Planned struct {
	Machine string     `json:"machine"`           // its name
	Image   string     `json:"image"`             // that it would get
	Plan    *plan.Plan `json:"plan,omitempty"`    // nil if it is refused, or the present disks are not known
	Refused string     `json:"refused,omitempty"` // why the layout does not fit the disks; a line for each reason
	Since   time.Time  `json:"since,omitzero"`    // when the disks were first reported like this; zero: not yet
	Stale   bool       `json:"stale,omitempty"`   // an install has finished since then, so that they are not like this
	// Begun says that an install began to divide them and did not finish; it can be resumed.
	Begun bool `json:"begun,omitempty"`
}

// errCut is why there is no plan for a machine with too many disks.
const errCut = "the machine has more disks and partitions than the server keeps, so that their plan would not be " +
	"certain; install it from its screen"

func (h *Handler) planLayout(ctx context.Context, in *keyed[PlanLayout]) (out Planned, err error) {
	d, err := layout.Decode(in.body.Layout)
	if err != nil {
		return out, fmt.Errorf("%w layout: %w", fleet.ErrInvalid, err)
	}
	o, err := h.order(ctx, job.Install, Install{Image: in.body.Image, Layout: in.body.Layout})
	if err != nil {
		return out, err
	}
	return h.planned(ctx, in.Key, d, o)
}

// planned makes the plan of a layout for the machine that key names and the images of an order.
func (h *Handler) planned(ctx context.Context, key string, d layout.Document, o fleet.Order) (Planned, error) {
	has, err := h.o.Fleet.Disks(ctx, key)
	if err != nil {
		return Planned{}, err
	}
	out := Planned{Machine: has.Machine.Name, Image: o.Image.Ref, Since: has.Since, Stale: has.Stale,
		Begun: has.Begun}
	if has.Cut {
		out.Refused = errCut
	}
	if !has.Known || has.Cut || has.Stale { // the machine plans with the disks as they are
		return out, nil
	}
	p, err := plan.Make(plan.Input{Layout: d, Disks: has.Disks, Pool: job.DiskNeeds(o.Image.Size + o.Kernel.Size)})
	switch {
	case errors.Is(err, plan.ErrRefused):
		out.Refused = err.Error()
	case err != nil:
		return out, err
	default:
		out.Plan = &p
	}
	return out, nil
}

// agreed refuses an order whose layout does not fit the disks of the machine that key names, as that last reported
// them, and one that agrees to another plan than theirs. The machine itself refuses these too, but at its next boot.
func (h *Handler) agreed(ctx context.Context, key string, o fleet.Order) error {
	if o.Layout == nil {
		return nil
	}
	d, err := layout.Decode(o.Layout)
	if err != nil {
		return fmt.Errorf("%w layout: %w", fleet.ErrInvalid, err)
	}
	got, err := h.planned(ctx, key, d, o)
	if errors.Is(err, fleet.ErrUnknown) || errors.Is(err, fleet.ErrAmbiguous) {
		return nil // the order makes another machine, or is refused for that
	}
	if err != nil {
		return err
	}
	what := ""
	switch p := got.Plan; {
	case got.Refused != "":
		what = "the layout does not fit " + got.Machine + ": " + got.Refused
	case p == nil || p.Hash == o.Plan || o.Plan == "" && harmless(*p):
		return nil
	case o.Plan == "":
		what = fmt.Sprintf("the plan for %s loses data or makes a filesystem smaller, and the order does not agree to "+
			"it; look at it with `griddle machine plan`, and agree with --plan %s", got.Machine, p.Hash)
	default:
		what = fmt.Sprintf("the plan for %s is now %s, and the order agrees to %s; look at it again with `griddle "+
			"machine plan`", got.Machine, p.Hash, o.Plan)
	}
	return job.NewProblem(http.StatusConflict, what)
}

// resume gives a machine its last install by a layout again, which did not finish.
func (h *Handler) resume(ctx context.Context, in *key) (out Machine, err error) {
	m, j, err := h.o.Fleet.Resume(ctx, in.Key)
	if err != nil {
		return out, busy(err, in.Key)
	}
	h.o.Log.Info("job resumed", "machine", m.Name, "image", j.Spec.Image.Ref, "plan", j.Spec.Plan, "job", j.Spec.ID,
		"remote", callerOf(ctx).remote)
	if out, err = h.all(ctx, m.ID); err != nil {
		return out, err
	}
	out.Job = &j
	return out, nil
}

// harmless says whether a plan loses nothing and shrinks nothing.
func harmless(p plan.Plan) bool { return len(p.Losses)+len(p.Shrinks) == 0 }
