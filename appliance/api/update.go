package api

import (
	"context"
	"fmt"
	"net/http"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// Update asks for an update of a machine that has a system. The fields are what an operator types.
type Update struct {
	Image      string `json:"image"`
	When       string `json:"when,omitempty"`       // see job.When
	AllowOlder bool   `json:"allowOlder,omitempty"` // the image may be older than the present one
	Reset      string `json:"reset,omitempty"`      // what is fresh at each start, see job.Reset; "" leaves it
	Replace    bool   `json:"replace,omitempty"`    // take back what waits or runs on the machine
}

// Plans under way. Each reads the whole catalog.
var planQuota = quota.Options{
	What:    "plans of images",
	Total:   quota.Amount{Slots: 16},
	Each:    quota.Amount{Slots: 2},
	Reserve: quota.Amount{Slots: 8},
}

// maxPlanAsk is the most that the JSON of a job.PlanAsk and of a job.UpdateAsk has, in bytes.
const maxPlanAsk = 16 << 10

// update orders an update. A machine that has the image gets no job.
func (h *Handler) update(ctx context.Context, of *keyed[Update]) (out answer[Machine], err error) {
	in := of.body
	if in.Image == "" {
		return out, fmt.Errorf("%w: the update names no image", fleet.ErrInvalid)
	}
	when, err := job.ParseWhen(in.When)
	if err != nil {
		return out, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	has, err := h.o.Fleet.SystemOf(ctx, of.Key)
	if err != nil {
		return out, err
	}
	reset, err := job.ParseReset(in.Reset)
	if err != nil {
		return out, fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	order, err := h.step(ctx, has, in.Image, in.AllowOlder)
	if err != nil {
		return out, err
	}
	order.Asked, order.When, order.Replace, order.Reset = in.Image, when, in.Replace, reset
	same := reset.After(has.Machine.Service.Reset()) == has.Machine.Service.Reset()
	if has.Image == order.Image.Ref && same && !has.Ordered && !has.Unsure {
		m := show(fleet.View{Machine: has.Machine})
		m.Current = true
		return answer[Machine]{status: http.StatusOK, value: m}, nil
	}
	out.value, err = h.take(ctx, of.Key, order)
	return out, err
}

// step plans an update of a machine to an image, and refuses one to another architecture, or back to an older version.
func (h *Handler) step(ctx context.Context, has fleet.System, asked string, allowOlder bool) (fleet.Order, error) {
	order, err := h.order(ctx, job.Update, Install{Image: h.o.Names.For(asked, has.Image)})
	order.AllowOlder = allowOlder
	if err == nil {
		err = h.fits(has, order)
	}
	return order, err
}

// fits refuses an update of a machine to another architecture, or back to an older version.
func (h *Handler) fits(has fleet.System, o fleet.Order) error {
	if has.Image == "" {
		return nil
	}
	switch step := h.o.Names.Step(has.Image, o.Image.Ref); {
	case step.Arch:
		return fmt.Errorf("%w update: %s has another architecture than %s, which %s has", fleet.ErrInvalid,
			o.Image.Ref, has.Image, has.Machine.Name)
	case step.Older && !o.AllowOlder:
		return job.NewProblem(http.StatusConflict, fmt.Sprintf("%s is older than %s, which %s has; to go back, "+
			"add --allow-older", o.Image.Ref, has.Image, has.Machine.Name))
	}
	return nil
}

// askUpdate gives an installed machine the update that it asks for. While images are private it sees those of its own
// template alone, and does not learn which others there are; and without a key that an operator approved it gets none,
// because a machine with a job can read all images. One that names no image does not get one again from which it fell
// back or went back.
func (h *Handler) askUpdate(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxPlanAsk)
	var in job.UpdateAsk
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	when, err := job.ParseWhen(string(in.When))
	if err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	has, err := h.o.Fleet.OwnSystem(r.Context(), by.Key)
	if err != nil {
		return err
	}
	if h.o.Private && !has.Approved {
		return fmt.Errorf("%w, and images on this server are private, so it cannot ask for updates itself: an "+
			"operator orders them with `griddle machine update %s --image IMAGE`", fleet.ErrWeakKey, has.Machine.Name)
	}
	done, err := h.planning(has.Machine)
	if err != nil {
		return err
	}
	defer done()
	asked := in.Image
	if asked == "" {
		if asked, err = h.o.Names.Follow(r.Context(), has.Asked, has.Image); err != nil {
			return err
		}
	}
	if h.o.Private && h.o.Names.Step(has.Image, asked).Other {
		return job.NewProblem(http.StatusForbidden, "images on this server are private: a machine can ask for "+
			"versions of the template that it was installed with, and an operator for others")
	}
	order, err := h.step(r.Context(), has, asked, in.AllowOlder)
	if err != nil {
		return err
	}
	if order.Asked, order.When = in.Image, when; in.Image == "" {
		order.Asked = has.Asked
	}
	if has.Image == order.Image.Ref && !has.Unsure {
		return give(w, http.StatusOK, job.Spec{Kind: job.Update, Image: order.Image})
	}
	if why := has.Refuses(order.Image.Document); why != "" && in.Image == "" && !has.Ordered {
		return job.NewProblem(http.StatusConflict, why+", so the machine does not take it by itself; publish a newer "+
			"version, or name the image to get it all the same")
	}
	if _, err := h.check(r.Context(), has.Machine.ID, order); err != nil {
		return err
	}
	m, j, err := h.o.Fleet.AskUpdate(r.Context(), by.Key, order)
	if err != nil {
		return err
	}
	s, err := h.spec(r.Context(), j, "")
	if err != nil {
		return err
	}
	h.o.Log.Info("a machine asks for an update", "machine", m.Name, "image", s.Image.Ref, "job", s.ID)
	return give(w, http.StatusOK, s)
}

// plan says how the machine of a job gets its image, from what its pool has. It plans for no other image.
func (h *Handler) plan(w http.ResponseWriter, r *http.Request, by fleet.Proof) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxPlanAsk)
	var in job.PlanAsk
	if err := decode(w, r, false, &in); err != nil {
		return err
	}
	in = in.Bounded()
	j, m, err := h.o.Fleet.Planning(r.Context(), by, in.Job)
	if err != nil {
		return err
	}
	done, err := h.planning(m)
	if err != nil {
		return err
	}
	defer done()
	of := j.Spec.Image
	if in.Kernel {
		of = j.Spec.Kernel
	}
	if of.Ref == "" {
		return fmt.Errorf("%w: the job of %s has no kernel image", fleet.ErrInvalid, m.Name)
	}
	out, err := h.o.Images.Plan(r.Context(), of.Ref, in.Have...)
	if err != nil {
		return err
	}
	h.o.Log.Debug("planned an image", "machine", m.Name, "image", out.Ref, "have", len(in.Have),
		"streams", len(out.Streams))
	return give(w, http.StatusOK, out)
}

// planning takes a slot for a plan for m.
func (h *Handler) planning(m fleet.Machine) (done func(), err error) {
	hold, err := h.plans.Take(m.ID, m.Rank == fleet.Ordered, 0)
	if err != nil {
		return nil, err
	}
	return hold.Release, nil
}
