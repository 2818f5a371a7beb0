package fleet

import "griddle/appliance/job"

// Reset is what of the machine is fresh at each start, as its service reported last; "" for nothing. s may be nil.
func (s *Service) Reset() job.Reset {
	if s == nil {
		return ""
	}
	for _, r := range s.Roots {
		if r.Runs {
			return r.Reset
		}
	}
	return ""
}
