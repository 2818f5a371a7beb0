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

	"griddle/appliance/fleet/life"
	"griddle/appliance/job"
)

// View is a machine with its most important job, if it ever had a job.
type View struct {
	Machine     Machine
	Job         *Job
	Known       bool // an agent has run on it
	Interrupted bool // Job was chosen on its screen, is not done, and its boot is silent
	Unheard     bool // Job is done, and its system has not reported in time
	Away        bool // its service has not checked in for three intervals

	State life.State // since when, and what brought it there, see Why; of List and Show
	Since time.Time
	was   life.State // before

	// Show alone fills in these.
	RecoveryKeys int           // how many it has
	Waiting      []WaitingBoot // boots that an operator has to approve
	KexecFailed  string        // the machine, itself or one of its model, because of which it does not start by kexec
}

// Status is the state of a machine in a few words: "new", "known" (an agent has run on it), "refused" (it asked to boot
// and got no answer), "pending", "installing", "interrupted", "failed", "installed" (its system has not reported yet),
// "installed, no report yet" (its system has not reported in time), "deployed", "away" (it was deployed, and its
// service does not check in), or "relaying". An update is "update pending", "updating", "update ready" (the new root
// waits for its start, or has not proved itself yet) or "update failed". An erase is "erase pending", "erasing", "erase
// failed", or "erased" if the machine has no system then. An action is "reboot pending", "restarting", "rollback
// pending", "going back", "run pending" or "running a program". A machine that an operator took out of use is
// "retired".
func (v View) Status() string {
	switch s := v.course(); {
	case v.Machine.Retired != nil:
		return "retired"
	case s != "":
		return s
	case v.Machine.Refused != nil:
		return "refused"
	case v.Machine.Deployed != nil && v.Away:
		return "away"
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
	if j.Spec.Kind == job.Update {
		return j.updateCourse()
	}
	if j.Spec.Kind == job.Erase {
		return v.eraseCourse()
	}
	if j.isAction() {
		return j.actionCourse()
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
		return "installed, no report yet"
	}
	return "installed"
}

// eraseCourse is course of an erase.
func (v View) eraseCourse() string {
	switch {
	case v.Job.State == job.Pending:
		return "erase pending"
	case v.Job.State == job.Started:
		return "erasing"
	case v.Job.State == job.Failed:
		return "erase failed"
	case v.Job.State == job.Done && v.Machine.Deployed == nil:
		return "erased"
	}
	return ""
}

// updateCourse is course of an update.
func (j Job) updateCourse() string {
	switch {
	case j.State == job.Failed:
		return "update failed"
	case !j.Live():
		return ""
	case !j.due():
		return "update ready"
	case j.State == job.Pending:
		return "update pending"
	}
	return "updating"
}

// home says whether the system of the view's job has called home.
func (v View) home() bool {
	return v.Machine.Deployed != nil && v.Machine.Deployed.Job == v.Job.Spec.ID
}

// Why says what brought the machine to its State, "" if that is not known.
func (v View) Why() string { return life.Why(v.was, v.State) }

// view adds to a machine what is kept elsewhere. Of its jobs a live action says most; then an operator's live one; then
// one that a screen chose and that is under way; then the newest that an operator gave or the machine asked for and
// that was not cancelled, or that a screen chose and that is done. So a stranger's choice that came to nothing does not
// hide what the machine is, and neither does an action that is over.
func (f *Fleet) view(ctx context.Context, tx *sql.Tx, m Machine) (View, error) {
	now := f.o.Now()
	v := View{Machine: m}
	silent := now.Add(-silence).UnixNano()
	var data string
	err := tx.QueryRowContext(ctx,
		`WITH own AS (SELECT rowid AS n, data, origin, state, state IN ('pending', 'started') AS live,
			EXISTS (SELECT 1 FROM boots WHERE boot = jobs.data ->> '$.boot' AND used > ?2) AS heard FROM jobs WHERE machine = ?1)
		SELECT data, live AND origin = 'screen' AND NOT heard FROM own
		ORDER BY live AND origin = 'action' DESC, live AND origin IN ('operator', 'rule') DESC, live AND (heard OR origin = 'machine') DESC, origin <> 'action' AND (state = 'done' OR origin <> 'screen' AND state <> 'cancelled') DESC, origin <> 'action' DESC, n DESC LIMIT 1`, m.ID, silent).Scan(&data, &v.Interrupted)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return v, err
	}
	if err == nil {
		v.Job = &Job{}
		if err := json.Unmarshal([]byte(data), v.Job); err != nil {
			return v, fmt.Errorf("reading a stored job: %w", err)
		}
		own := []Job{*v.Job}
		if err := f.lapse(ctx, tx, own); err != nil {
			return v, err
		}
		*v.Job = own[0]
	}
	v.judge(now)
	return v, tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM inventories WHERE machine = ?)",
		m.ID).Scan(&v.Known)
}

// judge fills in what the time now says.
func (v *View) judge(now time.Time) {
	v.Away = now.UnixNano() >= v.silentFrom()
	v.Unheard = v.Job != nil && v.Job.State == job.Done && v.Job.Spec.Kind == job.Install && !v.home() &&
		now.Sub(v.leftAt(*v.Job)) > homeWithin
}

// silentFrom is when the machine is away, in Unix nanoseconds: its service was silent for three intervals, since its
// system reported if that was later.
func (v View) silentFrom() int64 {
	s := v.Machine.Service
	if s == nil {
		return math.MaxInt64
	}
	heard := s.Time
	if d := v.Machine.Deployed; d != nil && d.Time.After(heard) {
		heard = d.Time
	}
	return heard.Add(awayAfter*s.every()).UnixNano() + 1
}

// leftAt is when the machine was left to the system of an install that is done.
func (v View) leftAt(j Job) time.Time {
	if h := v.Machine.Handed; h != nil && h.Job == j.Spec.ID {
		return h.Time
	}
	return j.Changed
}

// Show returns the machine that key names with its inventory, and all its jobs, the newest first. A key is a name, a
// MAC address or a UUID. It returns ErrUnknown if no machine matches and ErrAmbiguous if several do.
func (f *Fleet) Show(ctx context.Context, key string) (v View, jobs []Job, err error) {
	if err := f.expire(ctx); err != nil {
		return v, nil, err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		if v, err = f.view(ctx, tx, m); err != nil {
			return err
		}
		var since int64
		if err := tx.QueryRowContext(ctx, "SELECT state, since, was FROM listing WHERE machine = ?",
			m.ID).Scan(&v.State,
			&since, &v.was); err != nil {
			return err
		}
		v.Since = time.Unix(0, since).UTC()
		if v.Machine.Inventory, err = inventoryOf(ctx, tx, m.ID); err != nil {
			return err
		}
		if v.RecoveryKeys, err = countRecovery(ctx, tx, m.ID); err != nil {
			return err
		}
		if err := f.sharing(ctx, tx, &v.Machine); err != nil {
			return err
		}
		if v.Waiting, err = f.waitingBoots(ctx, tx, m); err != nil {
			return err
		}
		if v.KexecFailed, err = kexecFailed(ctx, tx, m); err != nil {
			return err
		}
		jobs, err = jobsOf(ctx, tx, m.ID)
		return err
	})
	return v, jobs, err
}

// sharing adds a conflict for each other machine that has an address of m.
func (f *Fleet) sharing(ctx context.Context, tx *sql.Tx, m *Machine) error {
	others, err := queryMachines(ctx, tx, "WHERE id <> ?1 AND id IN (SELECT machine FROM macs WHERE mac IN (SELECT "+
		"mac FROM macs WHERE machine = ?1)) ORDER BY rank DESC, seen DESC LIMIT ?2", m.ID, maxConflicts)
	for _, o := range others {
		var both []string
		for _, mac := range m.Identity.MACs {
			if o.has(mac) {
				both = append(both, mac)
			}
		}
		m.Conflicts = append(m.Conflicts, Conflict{Time: o.LastSeen, What: fmt.Sprintf(
			"%s (UUID %s) has the address %s too", o.Name, orNone(o.Identity.UUID), strings.Join(both, ", "))})
	}
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// LookAt is what to check when an installed machine has not reported, the most likely cause first.
func (v View) LookAt() []string {
	if !v.Unheard {
		return nil
	}
	return []string{
		fmt.Sprintf("The install ended %s UTC; the system has not reported since.",
			v.Job.Changed.UTC().Format(time.DateTime)),
		"Look at its console: does it show a login prompt, or does the firmware start another disk?",
		"Does the template match its network interface by type (Type=ether, en*)? This machine may have no interface " +
			"with a name such as eth0.",
		"On the machine, `journalctl -u griddle-phone-home` shows why it does not reach this server.",
	}
}
