package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"griddle/appliance/job"
	many "griddle/appliance/order"
)

// LiveOrders returns the IDs of the orders that have still something to do, the oldest first.
func (f *Fleet) LiveOrders(ctx context.Context) (out []string, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id FROM orders WHERE live = 1 ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			out = append(out, id)
		}
		return rows.Err()
	})
	return out, err
}

// Growth is closed when the journal grows, or an order changes, after the call.
func (f *Fleet) Growth() <-chan struct{} { return f.growth() }

// StepOrder brings an order up to date with the jobs of its machines, and returns it with what is to be done now. Each
// action is carried out by GiveOrdered, RefuseOrdered, CurrentOrdered or TakeBackOrdered.
func (f *Fleet) StepOrder(ctx context.Context, id string) (o many.Order, todo []many.Action, err error) {
	changed := false
	err = f.change(ctx, func(tx *sql.Tx) error {
		was, err := orderOf(ctx, tx, id)
		if err != nil {
			return err
		}
		reports, err := f.reports(ctx, tx, was)
		if err != nil {
			return err
		}
		o, todo = was.Step(f.o.Now().UTC(), reports)
		for i, m := range o.Machines {
			changed = changed || m != was.Machines[i]
		}
		changed = changed || o.State != was.State
		if err := saveOrder(ctx, tx, was, o); err != nil {
			return err
		}
		return settle(ctx, tx, o)
	})
	if err == nil && changed {
		f.grown()
	}
	return o, todo, err
}

// reports are what the jobs of an order say, and which of its waiting machines are gone.
func (f *Fleet) reports(ctx context.Context, tx *sql.Tx, o many.Order) (map[string]many.Report, error) {
	out, err := f.jobReports(ctx, tx, o.ID)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT machine FROM order_machines WHERE order_id = $1 AND state = 'waiting' "+
		"AND NOT EXISTS (SELECT 1 FROM machines WHERE machines.id = machine)", o.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out[id] = many.Report{Gone: true}
	}
	return out, rows.Err()
}

// jobReports are what the jobs of an order say, by machine. They are one query: an order may have thousands.
func (f *Fleet) jobReports(ctx context.Context, tx *sql.Tx, id string) (map[string]many.Report, error) {
	// A machine that was merged with another one has its jobs there. One that failed may be silent alone.
	rows, err := tx.QueryContext(ctx, `SELECT order_machines.machine, coalesce(jobs.data, ''), coalesce(machines.data, '')
		FROM order_machines LEFT JOIN jobs ON jobs.id = order_machines.job LEFT JOIN machines ON machines.id = jobs.machine
		WHERE order_id = $1 AND order_machines.state IN ('given', 'failed')`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]many.Report{}
	for rows.Next() {
		var machine, data, of string
		if err := rows.Scan(&machine, &data, &of); err != nil {
			return nil, err
		}
		out[machine] = many.Report{}
		if data == "" {
			continue
		}
		var j Job
		var m struct{ Service *Service }
		if err := json.Unmarshal([]byte(data), &j); err != nil {
			return nil, fmt.Errorf("reading a stored job: %w", err)
		}
		if of != "" {
			if err := json.Unmarshal([]byte(of), &m); err != nil {
				return nil, fmt.Errorf("reading a stored machine: %w", err)
			}
		}
		out[machine] = j.report(m.Service, f.o.Now())
	}
	return out, rows.Err()
}

// report is what the job, and the service of its machine, say to an order.
func (j Job) report(s *Service, now time.Time) many.Report {
	r := many.Report{State: j.State, Message: j.Message, Heard: j.Changed, Parked: j.parked(now)}
	if j.Spec.Kind == job.Relay && j.State == job.Started { // which has no end of its own
		r.State, r.Message = job.Done, "it relays"
	}
	if s != nil && s.Time.After(r.Heard) {
		r.Heard = s.Time
	}
	return r
}

// parked says whether the new root of an update waits for a start that its order leaves open: by a person, or at a time
// that has not come.
func (j Job) parked(now time.Time) bool {
	if !j.Live() || j.Spec.Kind != job.Update || j.due() {
		return false
	}
	at, timed := j.Spec.When.Time()
	return j.Spec.When == job.WhenReboot || timed && now.Before(at)
}

// GiveOrdered gives a machine of an order its job, as Install does, and notes in the order that it was given: both or
// neither, so that a machine gets one job of an order, wherever the server is killed. If the order gives none to this
// machine any more, the error is many.ErrState.
func (f *Fleet) GiveOrdered(ctx context.Context, id, machine string, o Order) (m Machine, j Job, err error) {
	if err := o.validate(); err != nil {
		return m, j, err
	}
	err = f.oneOrdered(ctx, id, machine, func(tx *sql.Tx, of many.Order) (many.Order, error) {
		// Before a job is made, so that its error comes first.
		if _, err := of.Give(machine, "", f.o.Now().UTC()); err != nil {
			return of, err
		}
		if m, err = byID(ctx, tx, machine); err != nil {
			return of, err
		}
		if m, j, err = f.install(ctx, tx, machine, o); err != nil {
			return of, err
		}
		if err := f.note(ctx, tx, j, job.Info, fmt.Sprintf("order %s gave this job", id)); err != nil {
			return of, err
		}
		return of.Give(machine, j.Spec.ID, f.o.Now().UTC())
	})
	return m, j, err
}

// RefuseOrdered notes that a waiting machine of an order gets no job, and why.
func (f *Fleet) RefuseOrdered(ctx context.Context, id, machine, why string) error {
	return f.oneOrdered(ctx, id, machine, func(_ *sql.Tx, o many.Order) (many.Order, error) {
		return o.Refuse(machine, why, f.o.Now().UTC())
	})
}

// CurrentOrdered notes that a waiting machine of an order has already what it would get.
func (f *Fleet) CurrentOrdered(ctx context.Context, id, machine, why string) error {
	return f.oneOrdered(ctx, id, machine, func(_ *sql.Tx, o many.Order) (many.Order, error) {
		return o.Current(machine, why, f.o.Now().UTC())
	})
}

// TakeBackOrdered cancels the job that an order gave to a machine, unless the machine has begun it: then nothing
// changes.
func (f *Fleet) TakeBackOrdered(ctx context.Context, id, machine string) error {
	return f.oneOrdered(ctx, id, machine, func(tx *sql.Tx, o many.Order) (many.Order, error) {
		given := ""
		for _, m := range o.Machines {
			if m.ID == machine {
				given = m.Job
			}
		}
		jobs, err := queryJobs(ctx, tx, "WHERE id = $1", given)
		if err != nil || len(jobs) == 0 || jobs[0].State != job.Pending {
			return o, err
		}
		// An action that the service got at the last moment may have begun, though no one has heard of that yet.
		if j := jobs[0]; o.State != many.Cancelled && j.isAction() && !f.o.Now().After(j.Spec.Until.Add(takeTime)) {
			return o, nil
		}
		next, err := o.TakeBack(machine, f.o.Now().UTC())
		if err != nil {
			return o, err
		}
		over, err := jobs[0].Cancel(f.o.Now().UTC())
		if err != nil {
			return o, err
		}
		over.Message = fmt.Sprintf("order %s took it back", id)
		return next, f.end(ctx, tx, over)
	})
}

// oneOrdered changes one machine of an order in a transaction. do gets the order with this machine and, if the order
// limits how many have a job, those that have one.
func (f *Fleet) oneOrdered(ctx context.Context, id, machine string, do func(*sql.Tx, many.Order) (many.Order,
	error)) error {
	err := f.change(ctx, func(tx *sql.Tx) error {
		was, err := orderHead(ctx, tx, id)
		if err != nil {
			return err
		}
		condition := "AND machine = $2"
		if was.Limits.AtMost > 0 {
			condition = "AND (machine = $2 OR state = 'given')"
		}
		if was.Machines, err = orderRows(ctx, tx, was.ID, condition, machine); err != nil {
			return err
		}
		is, err := do(tx, was)
		if err != nil {
			return err
		}
		return saveOrder(ctx, tx, was, is)
	})
	if err == nil {
		f.grown()
	}
	return err
}
