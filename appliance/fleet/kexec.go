package fleet

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/appliance/job"
)

// Kexec says which new roots a machine starts by kexec, without its firmware.
type Kexec string

// The values of Kexec.
const (
	KexecUpdates Kexec = "updates" // those of updates
	KexecAlways  Kexec = "always"  // those of installs too
	KexecNever   Kexec = "never"
)

// Runs says who may run programs on installed machines.
type Runs string

// The values of Runs.
const (
	RunsNobody    Runs = "none"
	RunsAdmins    Runs = "admins"
	RunsOperators Runs = "operators" // and administrators
)

// Runs is who may run programs on installed machines now.
func (f *Fleet) Runs() Runs { return cmp.Or(f.options().Runs, RunsAdmins) }

// mayKexec says whether m may start the root of a job by kexec: the policy allows it, and on no machine of its model
// the last such start failed. A machine that does not say its model is a model of its own.
func (f *Fleet) mayKexec(ctx context.Context, tx *sql.Tx, m Machine, k job.Kind) (bool, error) {
	policy := f.options().Kexec
	if policy == KexecNever || k != job.Update && (policy != KexecAlways || k != job.Install) {
		return false, nil
	}
	failed, err := kexecFailed(ctx, tx, m)
	return failed == "" && err == nil, err
}

// kexecFailed is the name of a machine on which the last start by kexec failed, so that m does not try it: m itself, or
// one of its model. It is "" if there is none.
func kexecFailed(ctx context.Context, tx *sql.Tx, m Machine) (string, error) {
	if m.Kexec != nil && m.Kexec.Failed {
		return m.Name, nil
	}
	if m.model() == "" {
		return "", nil
	}
	other, err := oneMachine(ctx, tx, `WHERE id <> ?1 AND data ->> '$.kexec.failed'
		AND coalesce(data ->> '$.identity.vendor', '') = ?2 AND coalesce(data ->> '$.identity.product', '') = ?3
		ORDER BY name LIMIT 1`, m.ID, m.Identity.Vendor, m.Identity.Product)
	if errors.Is(err, ErrUnknown) {
		return "", nil
	}
	return other.Name, err
}

// kexeced takes over what a check-in says of kexec. A failure is remembered until a later start works, or a person
// removes the machine's record: a machine that was installed since then has no record either, and that says nothing.
func (f *Fleet) kexeced(ctx context.Context, tx *sql.Tx, m *Machine, in job.CheckIn) error {
	switch {
	case in.Kexec != nil:
		if in.Kexec.Failed && (m.Kexec == nil || !m.Kexec.Failed || !m.Kexec.Time.Equal(in.Kexec.Time)) {
			which := "this machine restarts"
			if model := m.model(); model != "" {
				which = "machines of its model (" + model + ") restart"
			}
			if err := f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Warning,
				Message: job.Sentence(fmt.Sprintf("%s did not come up by kexec: %s through the firmware from now on",
					in.Kexec.Root, which))}); err != nil {
				return err
			}
		}
		m.Kexec = in.Kexec
	case m.Kexec != nil && slices.Contains(in.Features, job.FeatureKexec):
		var since bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM installs WHERE machine = ? AND time > ?)", m.ID,
			m.Kexec.Time.UnixNano()).Scan(&since); err != nil {
			return err
		}
		if !since {
			m.Kexec = nil
		}
	}
	return nil
}

// model is what people call a machine's model, "" if its firmware does not say.
func (m Machine) model() string {
	return strings.TrimSpace(m.Identity.Vendor + " " + m.Identity.Product)
}
