package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/job"
	many "griddle/appliance/order"
)

// ErrNoOrder is returned for an order that does not exist.
var ErrNoOrder = errors.New("no such order")

// maxLiveOrders is how many orders may be live.
const maxLiveOrders = 100

// MakeOrder keeps an order for many machines, whose IDs it has, and returns it with its own ID. A machine that another
// live order has is skipped, and says so. If no machine is left, MakeOrder returns ErrBusy.
func (f *Fleet) MakeOrder(ctx context.Context, o many.Order) (many.Order, error) {
	if err := o.Limits.Validate(); err != nil {
		return o, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if n := len(o.Machines); n == 0 || n > many.MaxMachines {
		return o, fmt.Errorf("%w: an order has 1 to %d machines, and this one %d", ErrInvalid, many.MaxMachines, n)
	}
	err := f.change(ctx, func(tx *sql.Tx) error {
		var live int
		var last int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM orders WHERE live = 1").Scan(&live); err != nil {
			return err
		}
		if live >= maxLiveOrders {
			return fmt.Errorf("%w: there are %d live orders, which is the limit; cancel one with `griddle order "+
				"cancel`", ErrBusy, live)
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM orders").Scan(&last); err != nil {
			return err
		}
		now := f.o.Now().UTC()
		o.ID, o.State, o.Created, o.Changed = strconv.FormatInt(last+1, 10), many.Running, now, now
		o.Machines = slices.Clone(o.Machines)
		waits := false
		for i := range o.Machines {
			m := &o.Machines[i]
			m.Changed = now
			has, err := liveOrder(ctx, tx, m.ID)
			if err != nil {
				return err
			}
			if has != "" && m.Live() {
				m.State, m.Why = many.Skipped, fmt.Sprintf("order %s has it already, and has not ended", has)
			}
			waits = waits || m.Live()
		}
		if !waits {
			return fmt.Errorf("%w: none of the machines can get a job by this order: %s", ErrBusy, o.Machines[0].Why)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id, live, created, data) VALUES ($1, 1, $2, $3)", last+1,
			now.UnixNano(), encodeHead(o)); err != nil {
			return err
		}
		for i, m := range o.Machines {
			if _, err := tx.ExecContext(ctx, "INSERT INTO order_machines (order_id, place, machine, state, job, data) "+
				"VALUES ($1, $2, $3, $4, $5, $6)", last+1, i, m.ID, string(m.State), m.Job, encode(m)); err != nil {
				return fmt.Errorf("adding %s to the order: %w", m.Name, err)
			}
		}
		return f.forgetOrders(ctx, tx)
	})
	if err == nil {
		f.grown()
	}
	return o, err
}

// forgetOrders deletes the oldest orders that have ended, beyond the limits.
func (f *Fleet) forgetOrders(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM orders WHERE live = 0 AND (id NOT IN (SELECT id FROM orders ORDER BY id DESC LIMIT $1)
		OR id IN (SELECT id FROM (SELECT id, sum(n) OVER (ORDER BY id DESC) AS total FROM
			(SELECT orders.id, count(*) AS n FROM orders JOIN order_machines ON order_id = orders.id GROUP BY orders.id) AS each_order) AS sums
			WHERE total > $2))`, f.max.orders, f.max.orderRows)
	return err
}

// liveOrder is the ID of the live order that has a machine waiting or given; "" for none.
func liveOrder(ctx context.Context, tx *sql.Tx, machine string) (id string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT order_id FROM order_machines WHERE machine = $1 AND "+
		"state IN ('waiting', 'given')", machine).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return id, err
}

// OrderOf returns the ID of the live order in which a machine, by its ID, waits or has its job; "" for none.
func (f *Fleet) OrderOf(ctx context.Context, machine string) (id string, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		id, err = liveOrder(ctx, tx, machine)
		return err
	})
	return id, err
}

// encodeHead is an order without its machines, which have rows of their own.
func encodeHead(o many.Order) string {
	o.Machines = nil
	return encode(o)
}

// orderHead reads the order with this ID, without its machines.
func orderHead(ctx context.Context, tx *sql.Tx, id string) (o many.Order, err error) {
	var data string
	n, err := strconv.ParseInt(id, 10, 64)
	if err == nil {
		err = tx.QueryRowContext(ctx, "SELECT data FROM orders WHERE id = $1", n).Scan(&data)
	}
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange) {
		return o, fmt.Errorf("%w: %s", ErrNoOrder, job.Printable(id))
	}
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal([]byte(data), &o); err != nil {
		return o, fmt.Errorf("reading a stored order: %w", err)
	}
	return o, nil
}

// orderRows reads the machines of an order that the condition, with further arguments, selects.
func orderRows(ctx context.Context, tx *sql.Tx, id, condition string, args ...any) (out []many.Machine, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT data FROM order_machines WHERE order_id = $1 "+condition+
		" ORDER BY place", append([]any{id}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var data string
		var m many.Machine
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return nil, fmt.Errorf("reading a machine of a stored order: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

func orderOf(ctx context.Context, tx *sql.Tx, id string) (o many.Order, err error) {
	if o, err = orderHead(ctx, tx, id); err == nil {
		o.Machines, err = orderRows(ctx, tx, o.ID, "")
	}
	return o, err
}

// saveOrder writes what differs between two states of an order with the same machines.
func saveOrder(ctx context.Context, tx *sql.Tx, was, is many.Order) error {
	for i, m := range is.Machines {
		if m == was.Machines[i] {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE order_machines SET state = $1, job = $2, data = $3 WHERE "+
			"order_id = $4 AND machine = $5", string(m.State), m.Job, encode(m), is.ID, m.ID); err != nil {
			return fmt.Errorf("noting what became of %s in order %s: %w", m.Name, is.ID, err)
		}
	}
	was.Machines, is.Machines = nil, nil
	if reflect.DeepEqual(was, is) {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE orders SET data = $1 WHERE id = $2", encode(is), is.ID)
	return err
}

// settle writes down whether an order is live: it runs or is held, or a machine of it has a job. id is its number.
func settle(ctx context.Context, tx *sql.Tx, o many.Order) error {
	live := o.State == many.Running || o.State == many.Held ||
		slices.ContainsFunc(o.Machines, many.Machine.Live)
	n := 0
	if live {
		n = 1
	}
	_, err := tx.ExecContext(ctx, "UPDATE orders SET live = $1 WHERE id = $2 AND live <> $1", n, o.ID)
	return err
}

// ShowOrder returns the order with this ID, or ErrNoOrder.
func (f *Fleet) ShowOrder(ctx context.Context, id string) (o many.Order, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		o, err = orderOf(ctx, tx, id)
		return err
	})
	return o, err
}

// Listed is an order without its machines, and how many of them are in each state.
type Listed struct {
	many.Order
	Counts many.Counts `json:"counts"`
}

// MaxOrderPage is the most orders that ListOrders returns.
const MaxOrderPage = 100

// ListOrders returns up to limit orders, at most MaxOrderPage, the newest first and beginning before the ID before, ""
// for the newest. It also returns the value of before for the next page, "" after the last.
func (f *Fleet) ListOrders(ctx context.Context, before string, limit int) (out []Listed, next string, err error) {
	if limit <= 0 || limit > MaxOrderPage {
		limit = MaxOrderPage
	}
	below := int64(1) << 62
	if before != "" {
		if below, err = strconv.ParseInt(before, 10, 64); err != nil {
			return nil, "", fmt.Errorf("%w: %q is not the number of an order", ErrInvalid, job.Printable(before))
		}
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT orders.data, state, count(*) FROM orders JOIN order_machines ON order_id = orders.id
			WHERE orders.id IN (SELECT id FROM orders WHERE id < $1 ORDER BY id DESC LIMIT $2)
			GROUP BY orders.id, orders.data, state ORDER BY orders.id DESC`, below, limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var data, state string
			var n int
			if err := rows.Scan(&data, &state, &n); err != nil {
				return err
			}
			var l Listed
			if err := json.Unmarshal([]byte(data), &l.Order); err != nil {
				return fmt.Errorf("reading a stored order: %w", err)
			}
			if len(out) == 0 || out[len(out)-1].ID != l.ID {
				out = append(out, l)
			}
			out[len(out)-1].Counts.Add(many.MachineState(state), n)
		}
		return rows.Err()
	})
	if len(out) > limit {
		out, next = out[:limit], out[limit-1].ID
	}
	return out, next, err
}

// ChangeOrder makes of the order with this ID what do does of it: hold, continue, cancel or retry it. do may be called
// once, and its error is returned. A machine that waits again after it, and that another live order has, is ErrBusy.
func (f *Fleet) ChangeOrder(ctx context.Context, id string, do func(many.Order) (many.Order, error)) (o many.Order,
	err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		was, err := orderOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if o, err = do(was); err != nil {
			return err
		}
		var has []string
		for i, m := range o.Machines {
			if !m.Live() || was.Machines[i].Live() {
				continue
			}
			other, err := liveOrder(ctx, tx, m.ID)
			if err != nil {
				return err
			}
			if other != "" {
				has = append(has, fmt.Sprintf("order %s has %s", other, m.Name))
			}
		}
		if len(has) > 0 {
			return fmt.Errorf("%w: %s; wait until it has ended, or cancel it", ErrBusy,
				strings.Join(has[:min(len(has), 5)], ", "))
		}
		if err := saveOrder(ctx, tx, was, o); err != nil {
			return err
		}
		return settle(ctx, tx, o)
	})
	if err == nil {
		f.grown()
	}
	return o, err
}
