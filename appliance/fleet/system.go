package fleet

import (
	"context"
	"database/sql"

	"griddle/appliance/job"
)

// System is what is installed on a machine, as far as the server knows.
type System struct {
	Machine Machine
	Image   string // Image.Ref of it; "" if that is not known
	Asked   string // how a person asked for it, see job.Spec.Asked
	Ordered bool   // an operator's job waits or runs
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
		if err == nil {
			s, err = systemOf(ctx, tx, m)
		}
		return err
	})
	return s, err
}

func systemOf(ctx context.Context, tx *sql.Tx, m Machine) (System, error) {
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return System{}, err
	}
	s := System{Machine: m, Ordered: ordered(jobs) != nil}
	id := ""
	if d := m.Deployed; d != nil {
		s.Image, id = d.Image, d.Job
	} else if j := system(jobs); j != nil {
		s.Image, id = j.Spec.Image.Ref, j.Spec.ID
	}
	for _, j := range jobs {
		if j.Spec.ID == id && j.State == job.Done {
			s.Asked = j.Spec.Asked
		}
	}
	return s, nil
}
