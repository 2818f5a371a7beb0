package api

import (
	"context"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/order"
)

// Order is an order for many machines.
type Order struct {
	order.Order
	Counts order.Counts `json:"counts"` // of Machines, which lists leave out
}

// Orders is one page of the list, the newest first.
type Orders struct {
	Orders []Order `json:"orders"`
	Next   string  `json:"next,omitempty"` // ask for what comes before it; "" where these were the last
}

// RetryOrder says which machines of an order get another job.
type RetryOrder struct {
	Machines []string `json:"machines,omitempty"` // names or IDs; none for all that failed, were skipped or cancelled
}

type orderID struct {
	ID string `path:"id" doc:"the number of the order"`
}

type listOrders struct {
	Before string `query:"before" doc:"the number of the order before which the page begins"`
	Limit  int64  `query:"limit" minimum:"0" doc:"how many orders at most; 0 for as many as fit"`
}

type sentOrder struct{ sent[MakeOrder] }

type sentRetry struct {
	ID string `path:"id" doc:"the number of the order"`
	sent[RetryOrder]
}

func (h *Handler) previewOrder(ctx context.Context, in *sentOrder) (OrderPreview, error) {
	return h.preview(ctx, &in.body)
}

func (h *Handler) newOrder(ctx context.Context, in *sentOrder) (Order, error) {
	o, err := h.makeOrder(ctx, in.body, callerOf(ctx).Name)
	return Order{o, o.Count()}, err
}

func (h *Handler) orders(ctx context.Context, in *listOrders) (out Orders, err error) {
	listed, next, err := h.o.Fleet.ListOrders(ctx, in.Before, int(min(in.Limit, fleet.MaxOrderPage)))
	out = Orders{Orders: []Order{}, Next: next}
	for _, l := range listed {
		l.Asked = nil // a layout is long
		out.Orders = append(out.Orders, Order{l.Order, l.Counts})
	}
	return out, err
}

func (h *Handler) showOrder(ctx context.Context, in *orderID) (Order, error) {
	o, err := h.o.Fleet.ShowOrder(ctx, in.ID)
	return Order{o, o.Count()}, err
}

// change does what an operator wants of an order, and writes that into the log.
func (h *Handler) change(ctx context.Context, id, what string, do func(order.Order, time.Time) (order.Order,
	error)) (Order, error) {
	o, err := h.o.Fleet.ChangeOrder(ctx, id, func(o order.Order) (order.Order, error) { return do(o, h.o.Now().UTC()) })
	if err == nil {
		h.o.Log.Info("order changed", "order", o.ID, "what", what, "by", job.Printable(callerOf(ctx).Name), "remote",
			callerOf(ctx).remote)
	}
	return Order{o, o.Count()}, err
}

func (h *Handler) holdOrder(ctx context.Context, in *orderID) (Order, error) {
	return h.change(ctx, in.ID, "hold", func(o order.Order, now time.Time) (order.Order, error) {
		return o.Hold("held by "+callerOf(ctx).Name, now)
	})
}

func (h *Handler) continueOrder(ctx context.Context, in *orderID) (Order, error) {
	return h.change(ctx, in.ID, "continue", order.Order.Continue)
}

func (h *Handler) cancelOrder(ctx context.Context, in *orderID) (Order, error) {
	out, err := h.change(ctx, in.ID, "cancel", order.Order.Cancel)
	if err != nil {
		return out, err
	}
	// Jobs that have not begun are taken back before the answer. What fails here, the loop does again.
	if err := h.stepOrder(ctx, out.ID); err != nil {
		h.o.Log.Warn("taking back the jobs of a cancelled order failed; it is tried again", "order", out.ID,
			"error", err)
	}
	return h.showOrder(ctx, in)
}

func (h *Handler) retryOrder(ctx context.Context, in *sentRetry) (Order, error) {
	return h.change(ctx, in.ID, "retry", func(o order.Order, now time.Time) (order.Order, error) {
		o, _, err := o.Retry(in.body.Machines, now)
		return o, err
	})
}
