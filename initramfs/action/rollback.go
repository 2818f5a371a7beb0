package action

import (
	"context"
	"fmt"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

// rollback has the machine start a root, want or the former one, and restarts it. If that root runs already, there is
// nothing to restart for.
func (r *run) rollback(ctx context.Context, want string) error {
	begun, _, err := r.begin()
	if err != nil {
		return err
	}
	if begun.Switched && begun.Boot != r.Boot {
		return r.rolledBack(begun.Root)
	}
	if !begun.Switched {
		if err := r.back(&begun, want); err != nil {
			return r.fail(job.PhaseCheck, err.Error()+"; the machine runs as before")
		}
	}
	if begun.Root == r.Root {
		return r.rolledBack(begun.Root)
	}
	r.tell(job.PhaseRestart, fmt.Sprintf("the machine restarts into %s", pool.Label(begun.Root)))
	return r.restart(ctx)
}

// back has the root boot that is recorded in b, or chooses one, and records that.
func (r *run) back(b *order.Begun, want string) error {
	p, err := r.Pool()
	if err != nil {
		return err
	}
	err = r.switches(p, b, want)
	if closed := p.Close(); closed != nil { // what was switched stays
		r.Log.Warn("after the rollback", "error", closed)
	}
	return err
}

func (r *run) switches(p *pool.Pool, b *order.Begun, want string) error {
	all, err := p.Read()
	if err != nil {
		return err
	}
	if b.Root == "" {
		if want == "" {
			if want, err = all.GoesBack(); err != nil {
				return err
			}
		}
		root, err := all.Root(want)
		if err != nil {
			return err
		}
		b.Root = root.Name
		if err := r.Orders.Begin(*b); err != nil {
			return err
		}
	}
	r.tell(job.PhaseCheck, fmt.Sprintf("going back to %s", pool.Label(b.Root)))
	if err := p.Boot(b.Root); err != nil {
		return err
	}
	if err := r.Note(history.RolledBack, b.Root); err != nil {
		return err
	}
	b.Switched, b.Boot = true, r.Boot
	return r.Orders.Begin(*b)
}

// rolledBack ends a rollback by what runs. The unit starts after griddle-bless.service, so that the root that runs has
// proved itself.
func (r *run) rolledBack(root string) error {
	if root == r.Root {
		return r.done(job.PhaseRestart, fmt.Sprintf("the machine runs %s", pool.Label(root)))
	}
	return r.fail(job.PhaseRestart, fmt.Sprintf("the machine restarted, and runs %s, not %s: griddle-agent history on "+
		"it has more", pool.Label(r.Root), pool.Label(root)))
}
