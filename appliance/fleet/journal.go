package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
)

// Entry is one entry of the journal. The Seq of its event is 0 if the server itself made it.
type Entry struct {
	ID       int64     `json:"id"` // ascending over all machines
	Boot     string    `json:"boot,omitempty"`
	By       string    `json:"by,omitempty"` // the operator who caused it, see By
	Received time.Time `json:"received"`
	Event    job.Event `json:"event"`
}

// operator is the key of a context's operator.
type operator struct{}

// By says who causes what is done with the context: the events of it, and the jobs, have this name.
func By(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, operator{}, job.Printable(name))
}

// by is who causes what is done with the context, "" for no operator.
func by(ctx context.Context) string {
	name, _ := ctx.Value(operator{}).(string)
	return name
}

// Append adds the events of the token's boot to the journal and updates the job. It skips events up to the acknowledged
// number. Events after a gap wait until the gap is filled; only the first event of a boot may have any number. Of
// events that contain only progress, the newest is kept.
func (f *Fleet) Append(ctx context.Context, p Proof, e job.Events) (ack job.Acknowledged, err error) {
	if len(e.Events) > job.MaxEvents {
		return ack, fmt.Errorf("%w: %d events at once, the limit is %d", ErrInvalid, len(e.Events), job.MaxEvents)
	}
	before := uint64(0)
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, seq, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		if e.Boot != s.Boot {
			return fmt.Errorf("%w: it belongs to another boot", ErrToken)
		}
		before = seq
		for _, ev := range e.Events {
			if ev.Seq <= seq || ev.Seq > 1<<62 || seq > 0 && ev.Seq != seq+1 {
				continue
			}
			seq = ev.Seq
			if err := f.addEvent(ctx, tx, s, f.sanitize(ev)); err != nil {
				return err
			}
		}
		ack.Seq = seq
		if seq != before {
			if _, err := tx.ExecContext(ctx, "UPDATE boots SET seq = ? WHERE boot = ?", seq, s.Boot); err != nil {
				return err
			}
		}
		ack.Cancelled, err = f.cancelled(ctx, tx, s, e)
		return err
	})
	if err != nil {
		return job.Acknowledged{}, err
	}
	if ack.Seq != before {
		f.grown()
	}
	return ack, nil
}

// cancelled says whether the agent must stop: a job that e speaks of is not live any more or another boot's, and e does
// not say so itself.
func (f *Fleet) cancelled(ctx context.Context, tx *sql.Tx, s Session, e job.Events) (bool, error) {
	id, ended := "", false
	for _, ev := range e.Events {
		if ev.Job != "" {
			id, ended = ev.Job, ev.State == job.Done || ev.State == job.Failed || ev.State == job.Cancelled
		}
	}
	if id == "" || ended {
		return false, nil
	}
	jobs, err := queryJobs(ctx, tx, "WHERE id = ? AND machine = ?", id, s.Machine)
	return err == nil &&
		(len(jobs) == 0 || f.foreign(jobs[0], s) || !jobs[0].Live() && jobs[0].State != job.Done), err
}

// addEvent puts one event into the journal and applies it to its job.
func (f *Fleet) addEvent(ctx context.Context, tx *sql.Tx, s Session, ev job.Event) error {
	if ev.Certificate != nil { // what the server knows, and the machine cannot say
		ev.Certificate.Machine, ev.Certificate.Approved = s.Name, s.Approved
	}
	if err := f.journal(ctx, tx, s.Machine, s.Boot, ev); err != nil {
		return err
	}
	if ev.Job == "" {
		return nil
	}
	jobs, err := queryJobs(ctx, tx, "WHERE id = ? AND machine = ?", ev.Job, s.Machine)
	if err != nil {
		return err
	}
	if len(jobs) == 0 || f.foreign(jobs[0], s) {
		return f.journal(ctx, tx, s.Machine, "", job.Event{Time: f.o.Now().UTC(), Level: job.Warning,
			Message: "the machine reports on a job that is not its own"})
	}
	if err := f.carries(ctx, tx, jobs[0], s.Boot); err != nil {
		return err
	}
	if jobs[0].Spec.Kind == job.Update && ev.State == job.Done {
		ev.State, ev.Phase = "", job.PhaseSwitch // the service of the new root says that it is done
	}
	j, refused := jobs[0].Apply(ev, f.o.Now().UTC())
	if err := f.endSystem(ctx, tx, jobs[0], j); err != nil {
		return err
	}
	if j.given() && ev.State == job.Started && j.State == job.Started && j.Carrier != s.Boot {
		j.Carrier = s.Boot
		if j.Origin == Operator {
			if err := adopt(ctx, tx, s); err != nil {
				return err
			}
		}
	}
	if ev.State == job.Started && j.State == job.Started {
		if err := beganBy(ctx, tx, j, s.Boot, f.o.Now()); err != nil {
			return err
		}
	}
	if j.State == job.Done && jobs[0].State != job.Done {
		if err := f.installedBy(ctx, tx, j, s.Boot, f.o.Now()); err != nil {
			return err
		}
	}
	if err := saveJob(ctx, tx, j); err != nil {
		return err
	}
	if refused != nil {
		return f.note(ctx, tx, j, job.Warning, refused.Error())
	}
	return nil
}

// adopt makes the address that the boot of s came by, and its UUID, those of its machine, which an operator named: so
// it boots after a power cut too.
func adopt(ctx context.Context, tx *sql.Tx, s Session) error {
	m, err := byID(ctx, tx, s.Machine)
	if err != nil {
		return err
	}
	var mac, id string
	if err := tx.QueryRowContext(ctx, "SELECT mac, uuid FROM boots WHERE boot = ?",
		s.Boot).Scan(&mac, &id); err != nil {
		return err
	}
	if err := makeFirm(ctx, tx, m.ID, mac); err != nil {
		return err
	}
	if id == "" || m.firm {
		return nil
	}
	m.Identity.UUID = id
	return save(ctx, tx, m)
}

// foreign says whether the boot of s has nothing to say of the job of its machine. An update that has switched is for
// the service of the new root, and an action for the service.
func (f *Fleet) foreign(j Job, s Session) bool {
	switched := j.Spec.Kind == job.Update && j.Phase == job.PhaseSwitch || j.isAction()
	return j.carrier() != s.Boot && (!j.given() || !f.mayWork(s) || j.mustProve() && !s.Approved || switched)
}

// carries fails where another boot than boot carries the job out and was heard of within the last minute. The agent
// repeats its reports until they are taken, so that after a power cut they wait for the rest of that minute.
func (f *Fleet) carries(ctx context.Context, tx *sql.Tx, j Job, boot string) error {
	if !j.Live() || j.carrier() == "" || j.carrier() == boot {
		return nil
	}
	var heard bool
	var err error
	if j.carrier() == byService {
		heard, err = f.serviceHeard(ctx, tx, j.Machine)
	} else {
		heard, err = heardSince(ctx, tx, j.carrier(), f.o.Now().Add(-carrying).UnixNano())
	}
	if err == nil && heard {
		err = fmt.Errorf("%w: another boot of this machine carries out the job and reported within the last minute; "+
			"try again in a minute", ErrBusy)
	}
	return err
}

// sanitize makes an event fit for the journal: printable, and with a time that can be written down.
func (f *Fleet) sanitize(ev job.Event) job.Event {
	ev.Job, ev.Phase, ev.Level, ev.State = job.Printable(ev.Job), job.Phase(job.Printable(string(ev.Phase))),
		job.Level(job.Printable(string(ev.Level))), job.State(job.Printable(string(ev.State)))
	ev.Message, ev.Disk = job.Sentence(ev.Message), job.Sentence(ev.Disk)
	ev.Time = ev.Time.UTC()
	if ev.Certificate != nil {
		c := ev.Certificate.Bounded()
		ev.Certificate = &c
	}
	if ev.Starts != nil {
		ev.Starts = &job.Starts{TableID: job.Printable(ev.Starts.TableID), Other: job.Printable(ev.Starts.Other),
			ESP: job.Printable(ev.Starts.ESP)}
	}
	if ev.Progress != nil && ev.Progress.Ways != nil {
		p, w := *ev.Progress, *ev.Progress.Ways
		w.Now, w.Why = job.Printable(w.Now), job.Sentence(w.Why)
		p.Ways, ev.Progress = &w, &p
	}
	if ev.Time.Year() < 1970 || ev.Time.Year() > 9000 {
		ev.Time = f.o.Now().UTC()
	}
	return ev
}

// note adds an event of the server itself.
func (f *Fleet) note(ctx context.Context, tx *sql.Tx, j Job, l job.Level, message string) error {
	return f.journal(ctx, tx, j.Machine, "", job.Event{
		Time: f.o.Now().UTC(), Job: j.Spec.ID, Level: l, State: j.State, Message: job.Sentence(message),
	})
}

func (f *Fleet) journal(ctx context.Context, tx *sql.Tx, machine, boot string, ev job.Event) error {
	progress := ev.Progress != nil && ev.State == "" && ev.Message == ""
	if progress {
		if _, err := tx.ExecContext(ctx, "DELETE FROM events WHERE machine = ? AND progress = 1", machine); err != nil {
			return err
		}
	}
	data := encode(ev)
	res, err := tx.ExecContext(ctx,
		"INSERT INTO events (machine, job, boot, seq, progress, received, size, data, who) VALUES "+
			"(?, ?, ?, ?, ?, ?, ?, ?, ?)",
		machine, ev.Job, boot, int64(ev.Seq), progress, f.o.Now().UnixNano(), len(data), data, by(ctx))
	if err != nil {
		return err
	}
	// Looking for what is too old costs a scan, so it is done now and then.
	if id, err := res.LastInsertId(); err != nil {
		return err
	} else if id%16 == 0 {
		if err := errors.Join(trimJournal(ctx, tx, machine), f.forgetOld(ctx, tx)); err != nil {
			return err
		}
	}
	return f.trimTotals(ctx, tx, len(data))
}

// Log returns up to limit entries of the machine that key names, with numbers above after, in order. If there are no
// such entries, it waits until there is one or ctx is done; the latter is not an error.
func (f *Fleet) Log(ctx context.Context, key string, after int64, limit int) ([]Entry, error) {
	for {
		grown := f.growth()
		entries, err := f.read(context.WithoutCancel(ctx), key, after, limit)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

func (f *Fleet) read(ctx context.Context, key string, after int64, limit int) (out []Entry, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT id, boot, who, received, data FROM events WHERE machine = ? AND "+
			"id > ? "+
			"ORDER BY id LIMIT ?", m.ID, after, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e Entry
			var received int64
			var data string
			if err := rows.Scan(&e.ID, &e.Boot, &e.By, &received, &data); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(data), &e.Event); err != nil {
				return fmt.Errorf("reading a stored event: %w", err)
			}
			e.Received = time.Unix(0, received).UTC()
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrAmbiguous) {
		err = fmt.Errorf("reading the journal: %w", err)
	}
	return out, err
}
