package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"griddle/appliance/fleet/filter"
	"griddle/appliance/fleet/life"
	"griddle/appliance/job"
)

// MaxPage is the most machines that List returns.
const MaxPage = 200

// List returns up to limit machines that match where, at most MaxPage, sorted by name and beginning after the name
// after. It also returns the value of after for the next page, "" after the last. It does not fill in inventories.
func (f *Fleet) List(ctx context.Context, where filter.Filter, after string,
	limit int) (out []View, next string, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	if err := f.expire(ctx); err != nil {
		return nil, "", fmt.Errorf("listing machines: %w", err)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		if out, err = f.views(ctx, tx, where, after, limit+1); err == nil && len(out) > limit {
			out = out[:limit]
			next = out[limit-1].Machine.Name
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing machines: %w", err)
	}
	return out, next, nil
}

// views is List in a transaction.
func (f *Fleet) views(ctx context.Context, tx *sql.Tx, where filter.Filter, after string,
	limit int) (out []View, err error) {
	text, args := conditions(where)
	rows, err := tx.QueryContext(ctx, `SELECT machines.data, machines.rank, machines.source, machines.firm, coalesce(jobs.data, ''), l.interrupted, l.state, l.since, l.was,
		EXISTS (SELECT 1 FROM inventories WHERE inventories.machine = l.machine)
		FROM listing AS l JOIN machines ON machines.id = l.machine LEFT JOIN jobs ON jobs.id = l.job
		WHERE l.name > ? `+text+" ORDER BY l.name LIMIT ?", append(append([]any{after}, args...), limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v View
		var m, j string
		var since int64
		if err := rows.Scan(&m, &v.Machine.Rank, &v.Machine.source, &v.Machine.firm, &j, &v.Interrupted, &v.State,
			&since, &v.was, &v.Known); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(m), &v.Machine); err != nil {
			return nil, fmt.Errorf("reading a stored machine: %w", err)
		}
		v.Since = time.Unix(0, since).UTC()
		if j != "" {
			v.Job = &Job{}
			if err := json.Unmarshal([]byte(j), v.Job); err != nil {
				return nil, fmt.Errorf("reading a stored job: %w", err)
			}
		}
		v.judge(f.o.Now())
		out = append(out, v)
	}
	return out, rows.Err()
}

// conditions is a filter as SQL that follows a condition of listing AS l.
func conditions(where filter.Filter) (text string, args []any) {
	columns := map[filter.Key]string{filter.Name: "lower(l.name)", filter.State: "l.state", filter.Status: "l.status",
		filter.Group: "l.grp", filter.Role: "l.role", filter.Place: "l.place", filter.Note: "l.note",
		filter.Image: "l.image", filter.Model: "l.model", filter.UUID: "l.uuid", filter.Serial: "l.serial",
		filter.Root: "l.root", filter.Reset: "l.reset", filter.Agent: "l.agent", filter.ID: "l.machine",
		filter.Text: "l.words"}
	lists := map[filter.Key][2]string{filter.Tag: {"tags", "tag"}, filter.MAC: {"macs", "mac"}}
	var b strings.Builder
	for _, t := range where {
		var any []string
		for _, p := range t.Any {
			is, value := " = ?", string(p)
			if t.Key == filter.Text {
				is, value = ` LIKE ? ESCAPE '\'`, "%"+p.Like()+"%"
			} else if !p.Plain() {
				is, value = ` LIKE ? ESCAPE '\'`, p.Like()
			}
			l, many := lists[t.Key]
			rows := fmt.Sprintf("EXISTS (SELECT 1 FROM %s WHERE machine = l.machine", l[0])
			switch {
			case many && p == "":
				any = append(any, "NOT "+rows+")")
				continue
			case many:
				any = append(any, rows+" AND "+l[1]+is+")")
			default:
				any = append(any, columns[t.Key]+is)
			}
			args = append(args, value)
		}
		b.WriteString(" AND ")
		if t.Not {
			b.WriteString("NOT ")
		}
		b.WriteString("(" + strings.Join(any, " OR ") + ")")
	}
	return b.String(), args
}

// mark says that something of the machine changed that its row in the list is made of. The end of the transaction makes
// the row again.
func mark(ctx context.Context, tx *sql.Tx, machine string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO listing (machine) VALUES (?) ON CONFLICT (machine) DO UPDATE SET "+
		"due = 0",
		machine)
	return err
}

// enlistMarked makes the rows again that the transaction marked.
func (f *Fleet) enlistMarked(ctx context.Context, tx *sql.Tx) error {
	ids, err := texts(ctx, tx, "SELECT machine FROM listing WHERE due = 0")
	for i := 0; err == nil && i < len(ids); i++ {
		err = f.enlist(ctx, tx, ids[i])
	}
	return err
}

// expire makes the rows again that are not right any more because time passed. What cannot be written because the disk
// is full stays as it is.
func (f *Fleet) expire(ctx context.Context) error {
	err := f.change(ctx, func(tx *sql.Tx) error {
		ids, err := texts(ctx, tx, "SELECT machine FROM listing WHERE due <= ?", f.o.Now().UnixNano())
		for i := 0; err == nil && i < len(ids); i++ {
			err = f.enlist(ctx, tx, ids[i])
		}
		return err
	})
	if errors.Is(err, ErrDiskFull) {
		return nil
	}
	return err
}

// texts are the values of a query for one column.
func texts(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// enlist makes the row of a machine again.
func (f *Fleet) enlist(ctx context.Context, tx *sql.Tx, id string) error {
	m, err := byID(ctx, tx, id)
	if err != nil {
		return err
	}
	v, err := f.view(ctx, tx, m)
	if err == nil && v.Job != nil && v.Job.isAction() && !v.Job.Live() {
		v, err = f.view(ctx, tx, m) // it has just lapsed, and another job says more
	}
	if err != nil {
		return err
	}
	now := f.o.Now()
	var jobs []Job
	chosen := ""
	if v.Job != nil {
		if jobs, err = jobsOf(ctx, tx, id); err != nil {
			return err
		}
		chosen = v.Job.Spec.ID
	}
	facts, due := v.facts(jobs, now)
	if !v.Away {
		due = min(due, v.silentFrom())
	}
	if j := v.Job; j != nil && j.isAction() && j.State == job.Pending { // see lapse
		due = min(due, j.Spec.Until.Add(takeTime).UnixNano()+1)
	}
	if v.Job != nil && v.Job.State == job.Done && !v.Unheard && !v.home() { // its status
		due = min(due, v.leftAt(*v.Job).Add(homeWithin).UnixNano()+1)
	}
	for _, j := range jobs {
		if !j.Live() || j.Origin != Screen {
			continue
		}
		var used int64
		err := tx.QueryRowContext(ctx, "SELECT coalesce(max(used), 0) FROM boots WHERE boot = ?", j.Boot).Scan(&used)
		if err != nil {
			return err
		}
		if quiet := used + int64(silence); quiet > now.UnixNano() {
			due = min(due, quiet)
		}
	}
	role := ""
	if m.Group != "" {
		g, err := groupOf(ctx, tx, m.Group)
		if err != nil {
			return err
		}
		role = g.Role
	}
	var since, was int64
	err = tx.QueryRowContext(ctx, "SELECT state, was, since, due FROM listing WHERE machine = ?", id).Scan(&v.State,
		&v.was,
		&since, &was)
	if err != nil {
		return err
	}
	if state := facts.State(); state != v.State {
		if since = now.UnixNano(); was > 0 { // it changed when time had passed, and not now
			since = min(since, was)
		}
		v.State, v.was = state, v.State
	}
	service := Service{}
	if m.Service != nil {
		service = *m.Service
	}
	words := []string{m.Name, m.Identity.UUID, m.Identity.Serial, m.Identity.Vendor + " " + m.Identity.Product,
		v.image(), m.Group, m.Place, m.Note, strings.Join(m.Tags, " "), strings.Join(m.Identity.MACs, " ")}
	low := func(s string) string {
		return strings.ToLower(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), ""))
	}
	_, err = tx.ExecContext(ctx, `UPDATE listing SET name = ?, due = ?, state = ?, since = ?, was = ?, status = ?, grp = ?, role = ?, place = ?, note = ?, image = ?, model = ?,
		uuid = ?, serial = ?, root = ?, reset = ?, agent = ?, words = ?, job = ?, interrupted = ? WHERE machine = ?`,
		m.Name, due, string(v.State), since, string(v.was), v.Status(), m.Group, role, low(m.Place), low(m.Note),
		low(v.image()), low(strings.TrimSpace(m.Identity.Vendor+" "+m.Identity.Product)), m.Identity.UUID,
		low(m.Identity.Serial), low(service.Root), low(string(m.Service.Reset())), low(service.Agent),
		low(strings.Join(words, "\n")), chosen, v.Interrupted, id)
	return err
}

// image is what the machine has, or gets.
func (v View) image() string {
	d, j := v.Machine.Deployed, v.Job
	switch {
	case d != nil && (j == nil || v.course() == "" || j.Spec.Kind == job.Update || j.Spec.Kind == job.Erase):
		return d.Image
	case j != nil:
		return j.Spec.Image.Ref
	}
	return ""
}

// facts are what the life of the machine follows from, and when they change because time passes, in Unix nanoseconds.
// jobs are all of its jobs, the newest first.
func (v View) facts(jobs []Job, now time.Time) (out life.Facts, due int64) {
	out = life.Facts{Named: v.Machine.Rank == Ordered, Known: v.Known, Deployed: v.Machine.Deployed != nil,
		Silent: v.Away, Retired: v.Machine.Retired != nil}
	waits, due := false, int64(math.MaxInt64)
	w, half := onDisk(jobs)
	switch d := v.Machine.Deployed; {
	case w == nil:
	case w.State != job.Done:
		half = true
	case !w.Erased && (d == nil || d.Job != w.Spec.ID && d.Time.Before(w.Changed)):
		until := v.leftAt(*w).Add(homeWithin)
		if waits = !now.After(until); waits {
			due = until.UnixNano() + 1
		}
		half = half || !waits
	}
	out.Half = half
	switch v.course() {
	case "installing":
		out.Work = life.Installs
	case "updating", "update ready":
		out.Work = life.Updates
	case "erasing":
		out.Work = life.Erases
	default:
		if waits && !half {
			out.Work = life.Installs
		}
	}
	return out, due
}

// onDisk is the install that wrote last to the machine's disk, nil if there is none or if the disk was erased since;
// half says that an erase of it began and did not end. A screen's counts if there is none of an
// operator or a rule.
func onDisk(jobs []Job) (w *Job, half bool) {
	for _, by := range []func(Job) bool{Job.given, func(j Job) bool { return j.Origin == Screen }} {
		for i, j := range jobs {
			switch {
			case !by(j) || j.Spec.Started == "":
			case j.installs():
				return &jobs[i], half
			case j.State == job.Done:
				return nil, half
			case !j.Live():
				half = true
			}
		}
	}
	return nil, half
}
