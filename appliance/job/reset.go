package job

import "fmt"

// FeatureReset in Hello.Features and CheckIn.Features: carries out a job with Spec.Reset. Without it neither gets one.
const FeatureReset = "reset"

// Reset says what of a machine is fresh at each start.
type Reset string

// The values of Reset. In a job, "" leaves it as it is: an update as the root that it follows, an install ResetNo. Of a
// root, "" is ResetNo.
const (
	ResetNo     Reset = "no"     // nothing
	ResetSystem Reset = "system" // all but /home and /persistent
	ResetHome   Reset = "home"   // all but /persistent
)

// ParseReset reads a Reset as an operator types it.
func ParseReset(s string) (Reset, error) {
	switch r := Reset(s); r {
	case "", ResetNo, ResetSystem, ResetHome:
		return r, nil
	}
	return "", fmt.Errorf("%q is not what a machine resets at each start: use system, home for /home too, or no",
		Printable(s))
}

// After is what a new root resets that follows one with this Reset, by a job with that of the receiver.
func (r Reset) After(old Reset) Reset {
	if r == "" {
		r = old
	}
	if r == ResetNo {
		return ""
	}
	return r
}
