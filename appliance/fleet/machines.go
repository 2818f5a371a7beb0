package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
)

// View is a machine with the job that says most of it, if it ever had one.
type View struct {
	Machine     Machine
	Job         *Job
	Known       bool // an agent has run on it
	Interrupted bool // Job was chosen at its screen, is not done, and its boot is silent
	Unheard     bool // Job is done, and its system has not called home in time
}

// Status says in a few words how far a machine is: "new", "known" (an agent has run on it), "refused" (it asked to boot
// and got nothing), "pending", "installing", "interrupted", "failed", "installed" (its system has not called home yet),
// "installed, not heard of" (it should have), "deployed", or "relaying" while it does that.
func (v View) Status() string {
	switch s := v.course(); {
	case s != "":
		return s
	case v.Machine.Refused != nil:
		return "refused"
	case v.Machine.Deployed != nil:
		return "deployed"
	case v.Known:
		return "known"
	}
	return "new"
}

// course is what the job says, "" where it says nothing any more.
func (v View) course() string {
	j := v.Job
	if j == nil {
		return ""
	}
	relay := j.Spec.Kind == job.Relay
	switch {
	case v.Interrupted:
		return "interrupted"
	case j.State == job.Pending:
		return "pending"
	case j.State == job.Started && relay:
		return "relaying"
	case j.State == job.Started:
		return "installing"
	case relay:
		return ""
	case j.State == job.Failed:
		return "failed"
	case j.State != job.Done || v.home():
		return ""
	case v.Unheard:
		return "installed, not heard of"
	}
	return "installed"
}

// home says whether the system of the view's job has called home.
func (v View) home() bool {
	return v.Machine.Deployed != nil && v.Machine.Deployed.Job == v.Job.Spec.ID
}

// MaxPage is how many machines List returns at most.
const MaxPage = 200

// List returns up to limit machines, MaxPage at most, by name, those after the name after; and the name to go on after,
// "" where these were the last. Inventories stay where they are.
func (f *Fleet) List(ctx context.Context, after string, limit int) (out []View, next string, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		machines, err := queryMachines(ctx, tx, "WHERE name > ? ORDER BY name LIMIT ?", after, limit+1)
		if err != nil {
			return err
		}
		if len(machines) > limit {
			machines = machines[:limit]
			next = machines[limit-1].Name
		}
		for _, m := range machines {
			v, err := f.view(ctx, tx, m)
			if err != nil {
				return err
			}
			out = append(out, v)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("listing machines: %w", err)
	}
	return out, next, nil
}

// view adds to a machine what is kept elsewhere. Of its jobs an operator's live one says most; then one that a screen
// chose and that is under way; then the newest that an operator gave and did not cancel, or that a screen chose and that is done. So a
// stranger's choice that came to nothing does not hide what the machine is.
func (f *Fleet) view(ctx context.Context, tx *sql.Tx, m Machine) (View, error) {
	now := f.o.Now()
	v := View{Machine: m}
	silent := now.Add(-silence).UnixNano()
	var data string
	err := tx.QueryRowContext(ctx, `WITH own AS (SELECT rowid AS n, data, origin, state, state IN ('pending', 'started') AS live,
			EXISTS (SELECT 1 FROM boots WHERE boot = jobs.data ->> '$.boot' AND used > ?2) AS heard FROM jobs WHERE machine = ?1)
		SELECT data, live AND origin = 'screen' AND NOT heard FROM own
		ORDER BY live AND origin = 'operator' DESC, live AND heard DESC, state = 'done' OR origin = 'operator' AND state <> 'cancelled' DESC, n DESC LIMIT 1`, m.ID, silent).Scan(&data, &v.Interrupted)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return v, err
	}
	if err == nil {
		v.Job = &Job{}
		if err := json.Unmarshal([]byte(data), v.Job); err != nil {
			return v, fmt.Errorf("reading a stored job: %w", err)
		}
		since := v.Job.Changed
		if h := m.Handed; h != nil && h.Job == v.Job.Spec.ID {
			since = h.Time
		}
		v.Unheard = v.Job.State == job.Done && v.Job.Spec.Kind != job.Relay && !v.home() && now.Sub(since) > homeWithin
	}
	return v, tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM inventories WHERE machine = ?)", m.ID).Scan(&v.Known)
}

// Show returns the machine that key names with its inventory, and all its jobs, the newest first. A key is a name, a MAC
// address or a UUID; ErrUnknown and ErrAmbiguous are its errors.
func (f *Fleet) Show(ctx context.Context, key string) (v View, jobs []Job, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		if v, err = f.view(ctx, tx, m); err != nil {
			return err
		}
		if v.Machine.Inventory, err = inventoryOf(ctx, tx, m.ID); err != nil {
			return err
		}
		if err := f.sharing(ctx, tx, &v.Machine); err != nil {
			return err
		}
		jobs, err = jobsOf(ctx, tx, m.ID)
		return err
	})
	return v, jobs, err
}

// sharing adds a conflict for each other machine that has an address of m.
func (f *Fleet) sharing(ctx context.Context, tx *sql.Tx, m *Machine) error {
	others, err := queryMachines(ctx, tx, "WHERE id <> ?1 AND id IN (SELECT machine FROM macs WHERE mac IN (SELECT mac FROM macs WHERE machine = ?1)) ORDER BY rank DESC, seen DESC LIMIT ?2", m.ID, maxConflicts)
	for _, o := range others {
		var both []string
		for _, mac := range m.Identity.MACs {
			if o.has(mac) {
				both = append(both, mac)
			}
		}
		m.Conflicts = append(m.Conflicts, Conflict{Time: o.LastSeen, What: fmt.Sprintf("%s (UUID %s) has the address %s too", o.Name, orNone(o.Identity.UUID), strings.Join(both, ", "))})
	}
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// LookAt is what to look at where an installed machine has not called home, in the order in which it is likely.
func (v View) LookAt() []string {
	if !v.Unheard {
		return nil
	}
	return []string{
		fmt.Sprintf("The install ended %s; the system has not called home since.", v.Job.Changed.UTC().Format(time.DateTime)+" UTC"),
		"Look at its console: does it reach a login prompt, or does the firmware start another disk?",
		"Is the network of the template matched by type (Type=ether, en*), rather than by a name such as eth0, which this machine may not have?",
		"On the machine, `journalctl -u griddle-phone-home` says why it does not reach this server.",
	}
}
