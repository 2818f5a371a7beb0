package order

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
)

// Errors that callers branch on.
var (
	ErrState  = errors.New("order cannot do that now")
	ErrNotOne = errors.New("not a machine of the order")
)

// Hold returns the order after an operator held it. why may be "".
func (o Order) Hold(why string, now time.Time) (Order, error) {
	if o.State != Running {
		return o, fmt.Errorf("%w: it is %s, and only a running one can be held", ErrState, o.State)
	}
	if why == "" {
		why = "an operator held it"
	}
	o.State, o.Why, o.Changed = Held, job.Sentence(why), now
	return o, nil
}

// Continue returns the order after an operator continued it. Machines that have failed so far do not count any more.
func (o Order) Continue(now time.Time) (Order, error) {
	if o.State != Held {
		return o, fmt.Errorf("%w: it is %s, and only one that is held can be continued", ErrState, o.State)
	}
	o.State, o.Why, o.Changed, o.Forgave = Running, "", now, o.Count().Failed
	return o, nil
}

// Cancel returns the order after an operator cancelled it: the machines that wait get no job. Step then takes back the
// jobs that have not begun. Machines that have begun continue, and Step follows them.
func (o Order) Cancel(now time.Time) (Order, error) {
	if o.State != Running && o.State != Held {
		return o, fmt.Errorf("%w: it is %s already", ErrState, o.State)
	}
	o.State, o.Why, o.Changed = Cancelled, "an operator cancelled it", now
	o.Machines = slices.Clone(o.Machines)
	for i := range o.Machines {
		if m := &o.Machines[i]; m.State == Waiting {
			m.become(MachineCancelled, now, "the order was cancelled before its turn")
		}
	}
	return o, nil
}

// Retry returns the order after machines that failed, were skipped or cancelled wait for another job, and says which
// these are. names are names or IDs of machines; without any, all such machines do. The order runs then. A machine that
// began and is silent is left out, because its job lives.
func (o Order) Retry(names []string, now time.Time) (Order, []string, error) {
	o.Machines = slices.Clone(o.Machines)
	may := func(m Machine) bool {
		return !m.Silent && (m.State == Failed || m.State == Skipped || m.State == MachineCancelled)
	}
	var which []int
	var errs []error
	for _, name := range names {
		i, err := o.find(name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case o.Machines[i].Silent:
			errs = append(errs, fmt.Errorf("%w: %s has a job that began and did not end; cancel that with `griddle "+
				"machine cancel`", ErrState, o.Machines[i].Name))
		case !may(o.Machines[i]):
			errs = append(errs, fmt.Errorf("%w: %s is %s in the order", ErrState, o.Machines[i].Name,
				o.Machines[i].State))
		case !slices.Contains(which, i):
			which = append(which, i)
		}
	}
	for i, m := range o.Machines {
		if len(names) == 0 && may(m) {
			which = append(which, i)
		}
	}
	if len(which) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%w: none of its machines failed, was skipped or cancelled", ErrState))
	}
	if len(errs) > 0 {
		return o, nil, errors.Join(errs...)
	}
	var out []string
	for _, i := range which {
		m := &o.Machines[i]
		m.become(Waiting, now, "")
		m.Tries = 0
		out = append(out, m.ID)
	}
	o.State, o.Why, o.Changed, o.Forgave = Running, "", now, o.Count().Failed
	return o, out, nil
}

// find is the place of the machine with this ID or name.
func (o Order) find(machine string) (int, error) {
	at := slices.IndexFunc(o.Machines, func(m Machine) bool { return m.ID == machine })
	if at < 0 {
		at = slices.IndexFunc(o.Machines, func(m Machine) bool { return strings.EqualFold(m.Name, machine) })
	}
	if at < 0 {
		return 0, fmt.Errorf("%w: %s", ErrNotOne, job.Printable(machine))
	}
	return at, nil
}
