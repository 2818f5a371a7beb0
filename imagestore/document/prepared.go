package document

import (
	"errors"
	"fmt"
)

// Prepared is one change that was made to the copy of a source before it became an image: a built-in step of
// package template, or a hook of the publisher's site. Exactly one of Step and Hook is set.
type Prepared struct {
	Step    string `json:"step,omitempty"`    // name of the step
	Removed int64  `json:"removed,omitempty"` // by the step: files and directories removed or emptied
	Bytes   int64  `json:"bytes,omitempty"`   // by the step: what they held
	Hook    string `json:"hook,omitempty"`    // file name of the hook
	SHA256  string `json:"sha256,omitempty"`  // of the hook's bytes, 64 lower-case hex digits
}

const (
	maxPrepared     = 1000 // steps and hooks of an image
	maxPreparedName = 255  // bytes of a step's or hook's name
)

func validatePrepared(all []Prepared) error {
	if len(all) > maxPrepared {
		return fmt.Errorf("%d steps of preparation are more than %d", len(all), maxPrepared)
	}
	for i, p := range all {
		if err := p.validate(); err != nil {
			return fmt.Errorf("step %d of the preparation: %w", i+1, err)
		}
	}
	return nil
}

func (p Prepared) validate() error {
	switch {
	case (p.Step == "") == (p.Hook == ""):
		return errors.New("it is neither a step nor a hook, or both")
	case len(p.Step)+len(p.Hook) > maxPreparedName:
		return fmt.Errorf("the name is longer than %d bytes", maxPreparedName)
	case p.Removed < 0 || p.Bytes < 0:
		return errors.New("a count is negative")
	case p.Hook != "":
		return CheckSHA256(p.SHA256)
	case p.SHA256 != "":
		return errors.New("a step has no SHA-256")
	}
	return nil
}
