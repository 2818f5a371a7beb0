package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"griddle/appliance/api/client"
	"griddle/appliance/job"
)

// PreviewOrder returns what an order would do, and changes nothing.
func (c *Client) PreviewOrder(ctx context.Context, in MakeOrder) (out OrderPreview, err error) {
	err = c.made.PreviewOrder(ctx, in, &out)
	return out, err
}

// MakeOrder makes an order for many machines.
func (c *Client) MakeOrder(ctx context.Context, in MakeOrder) (out Order, err error) {
	err = c.made.MakeOrder(ctx, in, &out)
	return out, err
}

// EachOrderPage calls do with every page of the list of orders, the first one also where it is empty, until do returns
// false.
func (c *Client) EachOrderPage(ctx context.Context, do func(Orders) bool) error {
	for before := ""; ; {
		var page Orders
		if err := c.made.ListOrders(ctx, client.ListOrdersQuery{Before: before}, &page); err != nil {
			return err
		}
		if !do(page) || page.Next == "" {
			return nil
		}
		if page.Next == before {
			return fmt.Errorf("reading the list of orders: the page before %s ends with that", job.Printable(before))
		}
		before = page.Next
	}
}

// Order returns the order with this ID, with its machines.
func (c *Client) Order(ctx context.Context, id string) (out Order, err error) {
	err = c.made.GetOrder(ctx, id, &out)
	return out, err
}

// ChangeOrder does what an operator wants of an order: hold, continue or cancel.
func (c *Client) ChangeOrder(ctx context.Context, id, action string) (out Order, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/orders/"+url.PathEscape(id)+"/"+url.PathEscape(action), nil, &out)
	return out, err
}

// RetryOrder gives machines of an order that failed, were skipped or cancelled another job.
func (c *Client) RetryOrder(ctx context.Context, id string, in RetryOrder) (out Order, err error) {
	err = c.made.RetryOrder(ctx, id, in, &out)
	return out, err
}
