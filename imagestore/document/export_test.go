package document

import "griddle/imagestore/minisign"

// What the tests outside of the package see of its inside.

// ValidatePrepared is validatePrepared.
func ValidatePrepared(all []Prepared) error { return validatePrepared(all) }

// Validate is m.validate.
func Validate(m Image) error { return m.validate() }

// KeyOf is the key of g.
func KeyOf(g Grant) minisign.PublicKey { return g.key }
