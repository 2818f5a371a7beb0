package pool

import "errors"

// GoesBack is the root to go back to: the one that runs, if the next start would take another one, and else the newest
// other one that was found good. A root that runs on trial is not: it would get another try.
func (c Contents) GoesBack() (string, error) {
	for _, r := range c.Roots {
		if r.Runs && !r.Boots && r.Name != c.Candidate && c.NoBoots == nil {
			return r.Name, nil
		}
	}
	for _, r := range c.Roots {
		if !r.Runs && r.Good && r.Kernel {
			return r.Name, nil
		}
	}
	return "", errors.New("this machine has no other system that was found good; `griddle-agent status` lists all, " +
		"and `griddle-agent rollback ROOT` starts the one that you name")
}
