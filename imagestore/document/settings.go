package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxSettings is the limit for the settings of an image, in bytes.
const MaxSettings = 256 << 10

// validateSettings checks that settings are a JSON object that is not too long. What its members mean is no concern of
// the store: the programs that use them check that again.
func validateSettings(s json.RawMessage) error {
	switch {
	case s == nil:
		return nil
	case len(s) > MaxSettings:
		return fmt.Errorf("settings of %d bytes are longer than %d", len(s), MaxSettings)
	case !json.Valid(s) || bytes.TrimLeft(s, " \t\r\n")[0] != '{':
		return errors.New("the settings are not a JSON object")
	}
	return nil
}
