package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// booted is how long after its first boot by a rule with Once a machine boots the same again: some loaders ask for
// their script twice.
const booted = time.Minute

// booting is what netboot sees of a machine that asks what to boot.
type booting struct {
	mac      string
	from     netip.Addr
	remember bool // something may be written about it
}

// policy is what a machine boots for which no job decides: what the rule says that acts for it, else what the
// configuration says. Of a machine that no operator named only what netboot sees counts. m is the zero value for one
// that is not recorded.
func (f *Fleet) policy(ctx context.Context, tx *sql.Tx, m Machine, b booting, jobs []Job) (Policy, error) {
	unknown, rules := f.options().Unknown, f.Rules()
	if len(rules.Rules) == 0 {
		return unknown, nil
	}
	facts := rule.Facts{MAC: b.mac, Address: b.from, Named: m.Rank == Ordered}
	if facts.Named {
		v, err := inventoryOf(ctx, tx, m.ID)
		if err != nil {
			return "", err
		}
		if id := m.Identity; id.Vendor != "" || id.Product != "" || v.Memory > 0 || len(v.Disks) > 0 {
			facts.Claims = claimsOf(id, v)
		}
	}
	r := rules.Acts(facts)
	if r == nil {
		return unknown, nil
	}
	o, err := obeyedBy(ctx, tx, m.ID, r.ID())
	if err != nil {
		return "", err
	}
	free, err := f.installable(ctx, tx, m, jobs)
	if err != nil {
		return "", err
	}
	p, first := policyOf(*r, o, free, unknown, b.remember, f.o.Now())
	if first {
		o.booted = f.o.Now().UnixNano()
		if err := save(ctx, tx, m); err != nil { // it may be new
			return "", err
		}
		if err := f.saveObeyed(ctx, tx, m.ID, r.ID(), o); err != nil {
			return "", err
		}
	}
	return p, nil
}

// policyOf is what a machine boots by a rule that did o to it, and whether it is the first boot by a rule with Once,
// which has to be written down. What cannot be written down does not happen.
func policyOf(r rule.Rule, o obeyed, installable bool, unknown Policy, remember bool, now time.Time) (p Policy,
	first bool) {
	if r.Install != nil && installable && o.job == "" && o.stopped == "" {
		return StartAgent, false
	}
	if r.Once {
		if first = o.booted == 0; first && !remember || !first && now.Sub(time.Unix(0, o.booted)) > booted {
			return BootLocal, false
		}
	}
	switch r.Boot {
	case rule.Menu:
		unknown = OfferMenu
	case rule.Agent:
		unknown = StartAgent
	case rule.Local:
		unknown = BootLocal
	}
	return unknown, first
}

// acting is the rule that acts for a machine that says hello, nil if there is none; whether it may make a job now, and
// whether the boot needs an operator's approval before it gets anything to do.
func (f *Fleet) acting(ctx context.Context, tx *sql.Tx, m Machine, from string, h job.Hello,
	jobs []Job) (r *rule.Rule, makes, needs bool, err error) {
	if l := ordered(jobs); l != nil && l.mustProve() {
		needs = true
	}
	rules := f.Rules()
	if len(rules.Rules) == 0 {
		return nil, false, needs, nil
	}
	facts := rule.Facts{Address: addressOf(from), Named: m.Rank == Ordered, Claims: claimsOf(h.Identity, h.Inventory)}
	if len(h.Identity.MACs) > 0 {
		facts.MAC = h.Identity.MACs[0]
	}
	if r = rules.Acts(facts); r == nil {
		return nil, false, needs, nil
	}
	if r.Install != nil {
		o, err := obeyedBy(ctx, tx, m.ID, r.ID())
		if err != nil {
			return nil, false, false, err
		}
		if makes, err = f.installable(ctx, tx, m, jobs); err != nil {
			return nil, false, false, err
		}
		makes = makes && o.job == ""
	}
	return r, makes, needs || r.Approval || makes && r.Waits(), nil
}

// addressOf is the address of a quota.Key; of a network of IPv6 its first one.
func addressOf(from string) netip.Addr {
	if p, err := netip.ParsePrefix(from); err == nil {
		return p.Addr()
	}
	a, _ := netip.ParseAddr(from)
	return a
}

// Follow gives the machine of the token's boot the job that a rule orders: Greeting.Rule. The job waits for its machine
// as an operator's does, and decides what that boots; but it is made at most once for each machine and each version of
// the rule, only for a machine without a system, and it allows no loss of data. It returns ErrOver if the rule does not
// act any more, or has made a job for the machine.
func (f *Fleet) Follow(ctx context.Context, p Proof, r rule.Rule, o Order) (j Job, home string, err error) {
	if err := o.validate(); err != nil {
		return j, "", err
	}
	if o.Kind != "" && o.Kind != job.Install || o.Erase != "" || o.Plan != "" {
		return j, "", fmt.Errorf("%w: a rule installs, and erases nothing, but the order of rule %s does", ErrInvalid,
			r.Name)
	}
	id := r.ID()
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, s, done, err := f.following(ctx, tx, p, id)
		if err != nil {
			return err
		}
		if r.Waits() && !s.Approved || !f.mayWork(s) {
			return fmt.Errorf("%w: run `griddle machine approve %s CODE` with the code on its screen", ErrUnapproved,
				m.Name)
		}
		if m.Rank == Sighting {
			if err := f.makeRoom(ctx, tx, Touched, m.source); err != nil {
				return err
			}
			m.Rank = Touched
		}
		o.rule = &Ruled{Name: r.Name, ID: id, Proved: r.Waits(), Settings: r.Install.Settings}
		if j, err = f.order(ctx, tx, &m, o, ByRule, ""); err != nil {
			return err
		}
		done.job, done.stopped = j.Spec.ID, ""
		if err := f.saveObeyed(ctx, tx, m.ID, id, done); err != nil {
			return err
		}
		home, err = f.newHome(ctx, tx, j, s.Boot)
		return err
	})
	if err != nil {
		return Job{}, "", fmt.Errorf("following rule %s: %w", r.Name, err)
	}
	f.grown()
	return j, home, nil
}

// following finds the boot of p, its machine, and what the rule with an ID did to that. It returns ErrOver where the
// rule makes no job for it.
func (f *Fleet) following(ctx context.Context, tx *sql.Tx, p Proof, id string) (m Machine, s Session, o obeyed,
	err error) {
	if s, _, err = f.session(ctx, tx, p); err != nil {
		return m, s, o, err
	}
	if m, err = byID(ctx, tx, s.Machine); err != nil {
		return m, s, o, err
	}
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return m, s, o, err
	}
	if o, err = obeyedBy(ctx, tx, m.ID, id); err != nil {
		return m, s, o, err
	}
	is := false
	for _, r := range f.Rules().Rules {
		is = is || r.ID() == id
	}
	free, err := f.installable(ctx, tx, m, jobs)
	if err == nil && (!is || o.job != "" || !free) {
		err = fmt.Errorf("%w: it makes no job for %s", ErrOver, m.Name)
	}
	if err != nil {
		return m, s, o, err
	}
	return m, s, o, f.endSilent(ctx, tx, m, jobs)
}

// StopRule notes why a rule installs nothing on the machine of the token's boot, in the journal once. At its next
// network boots the machine boots what it boots without the install; if the agent runs there and the reason is gone,
// the rule acts. It says whether the note is new.
func (f *Fleet) StopRule(ctx context.Context, p Proof, r rule.Rule, why string) (noted bool, err error) {
	if why = job.Sentence(why); why == "" {
		return false, fmt.Errorf("%w: the reason why rule %s installs nothing is missing", ErrInvalid, r.Name)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, _, o, err := f.following(ctx, tx, p, r.ID())
		if err != nil || o.stopped == why {
			return err
		}
		o.stopped, noted = why, true
		if err := f.saveObeyed(ctx, tx, m.ID, r.ID(), o); err != nil {
			return err
		}
		return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Warning,
			Message: job.Sentence(fmt.Sprintf("rule %s installs nothing here: %s", r.Name, why))})
	})
	if err != nil {
		return false, fmt.Errorf("noting why rule %s installs nothing: %w", r.Name, err)
	}
	if noted {
		f.grown()
	}
	return noted, nil
}
