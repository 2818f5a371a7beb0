package rule

import (
	"errors"
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// Stops says why the install must not begin on a machine with these disks, "" if it may: the disk that it needs is
// missing, is not proved to be blank, or its layout would lose data. pool is how many bytes the pool must have. The
// agent refuses the same before it writes.
func (in Install) Stops(disks []job.Disk, pool int64) string {
	if in.Layout != nil {
		p, err := plan.Make(plan.Input{Layout: *in.Layout, Disks: disks, Pool: pool})
		switch {
		case errors.Is(err, plan.ErrRefused):
			return strings.ReplaceAll(err.Error(), "\n", "; ")
		case err != nil:
			return err.Error()
		case len(p.Losses)+len(p.Shrinks) > 0:
			return "its layout would lose data: " + strings.Join(append(p.Losses, p.Shrinks...), "; ")
		}
		return ""
	}
	d, err := in.Disk.Pick(disks)
	if err != nil {
		return err.Error()
	}
	if !d.Blank() {
		return fmt.Sprintf("disk %s is not blank: %s", d, d.Loss())
	}
	return ""
}
