package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxDocument is how many bytes the JSON of a document may have. That is more than a file of package layoutfile gives.
const MaxDocument = 256 << 10

// Decode reads a document as it travels between programs: one JSON object. Unknown keys are refused: a newer program
// may mean by them what must not be lost. The document that it returns is valid; the error has all mistakes.
func Decode(b []byte) (d Document, err error) {
	if len(b) > MaxDocument {
		return Document{}, fmt.Errorf("reading a layout: it has %d bytes, and the limit is %d", len(b), MaxDocument)
	}
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("reading a layout: %w", err)
	}
	if _, err := in.Token(); err != io.EOF {
		return Document{}, errors.New("reading a layout: it has more than one value")
	}
	if all := d.Check(); len(all) > 0 {
		return Document{}, all
	}
	return d, nil
}
