package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/rule"
	"griddle/netboot"
)

// Try asks what rules would do to a machine. Nothing is changed.
type Try struct {
	Key   string         // of a machine, or a MAC address that no machine has
	Rules *rule.Document // nil: those of the site

	// What takes the place of what is known of the machine; the zero values leave that.
	MAC     string
	Address netip.Addr
	Vendor  string
	Model   string
	Memory  int64
}

// Trial says which rules act for a machine, and why.
type Trial struct {
	Machine string `json:"machine"` // its name, or the address of one that is not known
	// Boot is at its next network boot, and Hello after its agent has said what the machine is.
	Boot  Decision `json:"boot"`
	Hello Decision `json:"hello"`
}

// Decision is which rule acts, and what the machine gets.
type Decision struct {
	Rule     string         `json:"rule,omitempty"` // its name, "" for none
	Gets     string         `json:"gets"`           // in words
	Notes    []string       `json:"notes"`          // what else decides
	Findings []rule.Finding `json:"findings"`       // of each rule
}

// TryRules says what rules would do to a machine.
func (f *Fleet) TryRules(ctx context.Context, q Try) (t Trial, err error) {
	d := f.Rules().Document
	if q.Rules != nil {
		if all := q.Rules.Check(); len(all) > 0 {
			return t, fmt.Errorf("%w rules: %w", ErrInvalid, all)
		}
		d = *q.Rules
	}
	if q.MAC != "" {
		mac, ok := job.NormalMAC(q.MAC)
		if !ok {
			return t, fmt.Errorf("%w MAC address %q", ErrInvalid, job.Printable(q.MAC))
		}
		q.MAC = mac
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, q.Key)
		if mac, ok := job.NormalMAC(q.Key); errors.Is(err, ErrUnknown) && ok {
			m, err = Machine{Name: mac, Identity: job.Identity{MACs: []string{mac}}}, nil
		}
		if err != nil {
			return err
		}
		t.Machine = m.Name
		return f.try(ctx, tx, m, d, q, &t)
	})
	if err != nil {
		return Trial{}, err
	}
	return t, nil
}

func (f *Fleet) try(ctx context.Context, tx *sql.Tx, m Machine, d rule.Document, q Try, t *Trial) error {
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	said, err := f.known(ctx, tx, m, q)
	if err != nil {
		return err
	}
	seen := said
	if !seen.Named { // what it says does not count at network boot
		seen.Claims = nil
	}
	if err := f.tryBoot(ctx, tx, m, d, seen, jobs, &t.Boot); err != nil {
		return err
	}
	return f.tryHello(ctx, tx, m, d, said, jobs, &t.Hello)
}

// known is what is known of a machine, with what is asked in its place.
func (f *Fleet) known(ctx context.Context, tx *sql.Tx, m Machine, q Try) (out rule.Facts, err error) {
	out = rule.Facts{MAC: q.MAC, Address: q.Address, Named: m.Rank == Ordered}
	if out.MAC == "" && len(m.Identity.MACs) > 0 {
		out.MAC = m.Identity.MACs[0]
	}
	if !out.Address.IsValid() {
		var from string
		err := tx.QueryRowContext(ctx, "SELECT source FROM boots WHERE machine = ? ORDER BY used DESC LIMIT 1",
			m.ID).Scan(&from)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return out, err
		}
		out.Address = addressOf(from)
	}
	v, err := inventoryOf(ctx, tx, m.ID)
	if err != nil {
		return out, err
	}
	id := m.Identity
	for _, s := range []struct{ have, asked *string }{{&id.Vendor, &q.Vendor}, {&id.Product, &q.Model}} {
		if *s.asked != "" {
			*s.have = *s.asked
		}
	}
	if q.Memory > 0 {
		v.Memory = q.Memory
	}
	if id.Vendor != "" || id.Product != "" || v.Memory > 0 || len(v.Disks) > 0 {
		out.Claims = claimsOf(id, v)
	}
	return out, nil
}

func (f *Fleet) tryBoot(ctx context.Context, tx *sql.Tx, m Machine, d rule.Document, facts rule.Facts, jobs []Job,
	out *Decision) error {
	unknown := f.options().Unknown
	out.Findings, out.Notes = d.Explain(facts), []string{}
	if r := d.Acts(facts); r != nil {
		out.Rule = r.Name
		o, err := obeyedBy(ctx, tx, m.ID, r.ID())
		if err != nil {
			return err
		}
		free, err := f.installable(ctx, tx, m, jobs)
		if err != nil {
			return err
		}
		out.Notes = append(out.Notes, notes(*r, o, free, jobs)...)
		unknown, _ = policyOf(*r, o, free, unknown, true, f.o.Now())
		if r.Once && o.booted != 0 {
			out.Notes = append(out.Notes, "it has booted once by this rule")
		}
	}
	if _, is := decided(jobs); is {
		out.Notes = append(out.Notes, "its job or its system decides what it boots, and no rule does")
	}
	if facts.Claims == nil && !facts.Named {
		out.Notes = append(out.Notes, "no operator named it, so that at network boot only its address counts, and "+
			"where it asks from")
	}
	out.Gets = map[netboot.Action]string{netboot.Menu: "the menu", netboot.Agent: "the agent",
		netboot.Local: "its disk"}[decide(unknown, jobs)]
	return nil
}

func (f *Fleet) tryHello(ctx context.Context, tx *sql.Tx, m Machine, d rule.Document, facts rule.Facts, jobs []Job,
	out *Decision) error {
	out.Findings, out.Notes, out.Gets = d.Explain(facts), []string{}, "its screen, on which a person chooses"
	proved, needs := false, f.options().Enrolment == EnrolApprove
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM keys WHERE machine = ?)",
		m.ID).Scan(&proved); err != nil {
		return err
	}
	if j := ordered(jobs); j != nil {
		out.Gets = "its job, " + j.what()
	}
	if r := d.Acts(facts); r != nil {
		out.Rule = r.Name
		o, err := obeyedBy(ctx, tx, m.ID, r.ID())
		if err != nil {
			return err
		}
		free, err := f.installable(ctx, tx, m, jobs)
		if err != nil {
			return err
		}
		makes := r.Install != nil && free && o.job == ""
		needs = needs || r.Approval || makes && r.Waits()
		if makes {
			out.Gets = fmt.Sprintf("an install of %s, if that loses nothing on its disks", r.Install.Image)
		}
		out.Notes = append(out.Notes, notes(*r, o, free, jobs)...)
	}
	if needs && proved {
		out.Notes = append(out.Notes, "a boot with a key that an operator approved gets it; others wait")
	} else if needs {
		out.Notes = append(out.Notes, fmt.Sprintf("its boot waits for `griddle machine approve %s CODE`", m.Name))
	}
	if f.options().Enrolment == EnrolClosed && m.Rank != Ordered {
		out.Gets = "nothing"
		out.Notes = append(out.Notes, "enrolment is closed, and no operator named the machine")
	}
	return nil
}

// notes are why a rule with an install makes no job for a machine.
func notes(r rule.Rule, o obeyed, free bool, jobs []Job) (out []string) {
	if r.Install == nil {
		return nil
	}
	switch {
	case o.job != "" && slices.ContainsFunc(jobs, func(j Job) bool { return j.Spec.ID == o.job && j.Live() }):
		out = append(out, fmt.Sprintf("rule %s has made its job", r.Name))
	case o.job != "":
		out = append(out, fmt.Sprintf("rule %s has made its one job for this machine; it acts again only after it was "+
			"changed", r.Name))
	case o.stopped != "":
		out = append(out, fmt.Sprintf("rule %s installed nothing here when the agent last ran: %s", r.Name, o.stopped))
	}
	if o.job == "" && !free {
		out = append(out, fmt.Sprintf("rule %s installs nothing: the machine has a system, or a job", r.Name))
	}
	return out
}
