package bootenv

import (
	"errors"
	"fmt"
)

// Of a pool on several disks each has its own EFI system partition with both copies. GRUB starts from one of them, and
// counts there and on the others that have the same sequence number. What was away, or could not be written, has a
// smaller one and does not count, neither for GRUB nor here.

// ReadAll is what several partitions, mounted at these folders, say together: those with the largest sequence number.
// If GRUB could write to some of them only, the one with the fewest tries counts, and the one with the fewest fresh
// roots that were not started. A partition that says nothing does not count. If none says anything, the error is
// ErrDamaged.
func ReadAll(esps []string) (Env, error) {
	var found []Env
	var errs error
	for _, esp := range esps {
		e, err := Read(esp)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		found = append(found, e)
	}
	if len(found) == 0 {
		if errs == nil {
			errs = fmt.Errorf("reading which root boots: %w: there is no EFI system partition", ErrDamaged)
		}
		return Env{}, errs
	}
	return together(found), nil
}

// together is what several environment blocks say, at least one.
func together(all []Env) Env {
	out := all[0]
	for _, e := range all[1:] {
		switch {
		case e.Sequence > out.Sequence:
			out = e
		case e.Sequence < out.Sequence:
		default:
			if e.Candidate == out.Candidate {
				out.Tries = min(out.Tries, e.Tries)
			}
			if e.Good == out.Good && e.waiting() < out.waiting() {
				out.Fresh, out.Spare = e.Fresh, e.Spare
			}
		}
	}
	return out
}

// waiting is how many fresh roots it names.
func (e Env) waiting() (n int) {
	for _, number := range []int{e.Fresh, e.Spare} {
		if number > 0 {
			n++
		}
	}
	return n
}

// WriteAll is Write for several partitions, in their order. It is durable on return, and succeeds if one of them says
// it: the others have a smaller sequence number then. A power cut leaves the old or the new state on each of them.
func WriteAll(esps []string, e Env) error {
	e.Sequence = 0
	for _, esp := range esps {
		if old, err := Read(esp); err == nil {
			e.Sequence = max(e.Sequence, old.Sequence)
		}
	}
	if len(esps) > 1 || e.Sequence > 0 {
		e.Sequence = min(e.Sequence+1, MaxFresh)
	}
	errs := errors.New("writing which root boots: there is no EFI system partition")
	written := false
	for _, esp := range esps {
		err := Write(esp, e)
		written = written || err == nil
		errs = errors.Join(errs, err)
	}
	if written {
		return nil
	}
	return errs
}
