package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"griddle/appliance/fleet"
	"griddle/appliance/fleet/filter"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// expand replaces the groups and the filter of an order by the machines that they stand for now, and fills in the image
// of a group.
func (h *Handler) expand(ctx context.Context, in *MakeOrder) error {
	keys := in.Machines
	in.Machines = nil
	for _, key := range keys {
		g, err := h.o.Fleet.Group(ctx, key)
		switch {
		case errors.Is(err, fleet.ErrNoGroup):
			in.Machines = append(in.Machines, key)
			continue
		case err != nil:
			return err
		}
		if _, _, err := h.o.Fleet.Show(ctx, key); !errors.Is(err, fleet.ErrUnknown) {
			return job.NewProblem(http.StatusConflict, fmt.Sprintf("%s is a machine and a group; name the machine by "+
				"an address, or the group by the filter group=%s", g.Name, g.Name))
		}
		if len(keys) == 1 && in.Options.Image == "" && !in.Kind.IsAction() {
			in.Options.Image = g.Image
		}
		if err := h.matching(ctx, in, filter.Filter{{Key: filter.Group, Any: []filter.Pattern{
			filter.Pattern(g.Name)}}}); err != nil {
			return err
		}
	}
	if in.Filter == "" {
		return nil
	}
	where, err := filter.Parse(in.Filter)
	if err != nil {
		return job.NewProblem(http.StatusBadRequest, err.Error())
	}
	return h.matching(ctx, in, where)
}

// matching adds the machines that match.
func (h *Handler) matching(ctx context.Context, in *MakeOrder, where filter.Filter) error {
	for after := ""; ; {
		page, next, err := h.o.Fleet.List(ctx, where, after, 0)
		if err != nil {
			return err
		}
		for _, v := range page {
			in.Machines = append(in.Machines, v.Machine.ID)
		}
		if len(in.Machines) > order.MaxMachines || next == "" { // too many of them are refused as such
			return nil
		}
		after = next
	}
}
