package fleet

import (
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// System is what is installed on a machine, as far as the server knows.
type System struct {
	Machine Machine
	Image   string // Image.Ref of it; "" if that is not known
	Asked   string // how a person asked for it, see job.Spec.Asked
	Ordered bool   // an operator's job waits or runs
	// the machine runs another root than that of Image, and no job says which image it has
	Unsure bool
	// of OwnSystem: an operator approved the key for the machine
	Approved bool

	job  string // that made it
	jobs []Job  // of the machine, the newest first
}

// Refuses says why the machine does not follow to the image with the document: its root fell back from it, or a person
// went back from it, since the machine was installed. It is "" where there is no such reason.
func (s System) Refuses(document string) string {
	newer := true
	for _, j := range s.jobs {
		newer = newer && (s.Unsure || j.Spec.ID != s.job)
		same := j.Spec.Image.Document == document
		switch {
		case same && newer && j.State == job.Done:
			return fmt.Sprintf("%s had %s and went back from it", s.Machine.Name, j.Spec.Image.Ref)
		case same && j.State == job.Failed && j.Spec.Kind == job.Update && j.Phase == job.PhaseSwitch:
			return fmt.Sprintf("%s already failed on %s", j.Spec.Image.Ref, s.Machine.Name)
		case j.State == job.Done && j.Spec.Kind == job.Install:
			return ""
		}
	}
	return ""
}

// SystemOf returns the system of the machine that key names.
func (f *Fleet) SystemOf(ctx context.Context, key string) (s System, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err == nil {
			s, err = systemOf(ctx, tx, m)
		}
		return err
	})
	return s, err
}

// OwnSystem returns the system that proves key (job.KeyOf), or ErrKey.
func (f *Fleet) OwnSystem(ctx context.Context, key string) (s System, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := keyOwner(ctx, tx, key)
		if err != nil {
			return err
		}
		if s, err = systemOf(ctx, tx, m); err != nil {
			return err
		}
		s.Approved, err = approvedFor(ctx, tx, m.ID, key)
		return err
	})
	return s, err
}

func systemOf(ctx context.Context, tx *sql.Tx, m Machine) (System, error) {
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return System{}, err
	}
	s := System{Machine: m, Ordered: ordered(jobs) != nil, jobs: jobs}
	if d := m.Deployed; d != nil {
		s.Image, s.job, s.Unsure = d.Image, d.Job, m.strays()
	} else if j := system(jobs); j != nil {
		s.Image, s.job = j.Spec.Image.Ref, j.Spec.ID
	}
	for _, j := range jobs {
		if j.Spec.ID == s.job && j.State == job.Done {
			s.Asked = j.Spec.Asked
		}
	}
	return s, nil
}
