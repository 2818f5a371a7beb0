package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// preview says what a machine gets. What is wrong with that one machine is in its Refused.
func (p *planner) preview(ctx context.Context, key string) (m PreviewedMachine, err error) {
	m.Asked = job.Printable(key)
	v, _, err := p.h.o.Fleet.Show(ctx, key)
	if errors.Is(err, fleet.ErrUnknown) || errors.Is(err, fleet.ErrAmbiguous) {
		m.Refused, m.unknown = err.Error(), true
		return m, nil
	}
	if err != nil {
		return m, err
	}
	m.ID, m.Name, m.Status = v.Machine.ID, v.Machine.Name, v.Status()
	o, current, err := p.order(ctx, m.ID, "")
	if err == nil && !current && !p.kind.IsAction() {
		_, err = p.h.check(ctx, m.ID, o)
	}
	if err == nil {
		m.Image, m.Has = o.Image.Ref, current
	}
	if err == nil && !current {
		err = p.losses(ctx, &m, o)
	}
	if why, is := refusal(err); is {
		m.Refused = why
		return m, nil
	}
	if err != nil || m.Has {
		return m, err
	}
	return m, p.situation(ctx, &m, v)
}

// situation notes what keeps the machine from its job, or delays it.
func (p *planner) situation(ctx context.Context, m *PreviewedMachine, v fleet.View) error {
	busy := v.Job != nil && v.Job.Live() && v.Job.Origin == fleet.Operator
	if busy && p.kind == job.Reboot && v.Job.Spec.Kind == job.Update && v.Job.Phase == job.PhaseSwitch {
		busy = false // the restart is what the update waits for
	}
	ours := busy && p.kind == job.Update && v.Job.Spec.Kind == job.Update && v.Job.Spec.Image.Ref == m.Image
	switch {
	case busy && p.o.Replace:
		m.Notes = append(m.Notes, fmt.Sprintf("the job that it has is cancelled: %s", v.Status()))
	case busy && !ours:
		m.Refused = fmt.Sprintf("it has another job, which is %s; `griddle machine cancel %s` cancels that, and "+
			"--replace does it in the same step", v.Job.State, m.Name)
	}
	if p.kind == job.Update && v.Machine.Service == nil {
		m.Refused = "it has no system that checks in, so that it cannot be updated"
	}
	if p.kind.IsAction() {
		if err := v.Machine.Can(p.kind); err != nil {
			m.Refused = err.Error()
		}
	}
	id, err := p.h.o.Fleet.OrderOf(ctx, m.ID)
	if err != nil {
		return err
	}
	if id != "" {
		m.Refused = fmt.Sprintf("order %s has it already, and has not ended", id)
	}
	if v.Machine.Retired != nil {
		m.Refused = "it is retired, and gets no jobs"
	}
	if v.Away {
		m.Notes = append(m.Notes, "it is away: its service does not check in")
	}
	if needs := needs(v); needs != "" && ours {
		m.Notes = append(m.Notes, needs)
	}
	return nil
}

// losses notes what the machine would lose.
func (p *planner) losses(ctx context.Context, m *PreviewedMachine, o fleet.Order) error {
	if p.kind != job.Install {
		return nil
	}
	if p.o.Layout == nil {
		return p.disk(ctx, m)
	}
	got, err := p.h.planned(ctx, m.ID, p.layout, o)
	switch {
	case err != nil:
		return err
	case got.Refused != "":
		return fmt.Errorf("%w: the layout does not fit: %s", fleet.ErrInvalid,
			strings.ReplaceAll(got.Refused, "\n", "; "))
	case got.Plan == nil:
		m.Notes = append(m.Notes, "its disks are not known as they are now; it makes the plan at its next boot, and "+
			"carries it out only if nothing is lost")
		return nil
	}
	if !harmless(*got.Plan) {
		m.Loses, m.Smaller, m.Agreed = got.Plan.Losses, got.Plan.Shrinks, got.Plan.Hash
	}
	return nil
}

// disk notes what the disk has that the rule chooses.
func (p *planner) disk(ctx context.Context, m *PreviewedMachine) error {
	has, err := p.h.o.Fleet.Disks(ctx, m.ID)
	if err != nil {
		return err
	}
	if !has.Known || has.Stale {
		m.Notes = append(m.Notes, "its disks are not known as they are now; a disk that is not blank is not "+
			"overwritten")
		return nil
	}
	rule, err := job.ParseDiskRule(p.o.Disk)
	if err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	}
	d, err := rule.Pick(has.Disks)
	switch {
	case err != nil && has.Cut:
		return fmt.Errorf("%w: %s", fleet.ErrInvalid, errCut)
	case err != nil:
		return fmt.Errorf("%w: %w", fleet.ErrInvalid, err)
	case d.Blank():
		return nil
	case !p.o.Overwrite && d.Installed != "":
		m.Notes = append(m.Notes, fmt.Sprintf("disk %s has a pool: if it is one of this machine, /home and "+
			"/persistent stay", d))
		return nil
	case !p.o.Overwrite:
		m.Notes = append(m.Notes, fmt.Sprintf("disk %s is not blank, and is not overwritten: %s", d, d.Loss()))
		return nil
	}
	named, name := d.NameAmong(has.Disks)
	if strings.HasPrefix(string(named), "path:") && name == d.Path || has.Cut {
		return fmt.Errorf("%w: %s: %w", fleet.ErrInvalid, d, errNotDisk)
	}
	m.Erase = name
	// What is only known later, such as how full a filesystem is, changes nothing of what was agreed to.
	var sum strings.Builder
	fmt.Fprintf(&sum, "griddle disk 1\n%s\n%d\n", name, d.Size)
	for _, line := range d.WithoutFacts().Holds() {
		fmt.Fprintln(&sum, line)
	}
	for _, line := range d.Holds() {
		m.Loses = append(m.Loses, fmt.Sprintf("disk %s: %s", d, line))
	}
	m.Agreed = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(sum.String())))
	return nil
}
