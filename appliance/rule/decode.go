package rule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxDocument is how many bytes the JSON of a document may have. That is more than a file of package rulefile gives.
const MaxDocument = 512 << 10

// Decode reads a document as it travels between programs: one JSON object. Unknown keys are refused: a newer program
// may mean by them a condition. The document that it returns is valid; the error has all mistakes.
func Decode(b []byte) (d Document, err error) {
	if len(b) > MaxDocument {
		return Document{}, fmt.Errorf("reading rules: they have %d bytes, and the limit is %d", len(b), MaxDocument)
	}
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("reading rules: %w", err)
	}
	if _, err := in.Token(); err != io.EOF {
		return Document{}, errors.New("reading rules: there is more than one value")
	}
	if all := d.Check(); len(all) > 0 {
		return Document{}, all
	}
	return d, nil
}
