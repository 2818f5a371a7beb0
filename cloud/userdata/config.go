package userdata

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// YAML reads one document as cloud-init does: pyyaml.Read. The value is nil where it is empty, else of map[string]any,
// []any, string, bool, int64, uint64, float64, nil and, for bytes that are not text, what has the methods Bytes()
// []byte and Place() string. Errors have the line and column.
type YAML func(b []byte) (any, error)

// binary is a value of the tag !!binary that is not text.
type binary interface {
	Bytes() []byte
	Place() string // LINE:COLUMN
}

// parseConfig reads a cloud-config document, which must be a mapping. Bytes are taken only as the content of a file.
// What merge_how and merge_type say is left out: documents are merged by the rules of this package.
func parseConfig(b []byte, yaml YAML) (map[string]any, error) {
	v, err := yaml(b)
	if err != nil || v == nil {
		return map[string]any{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the document must be a mapping")
	}
	fileContents(m)
	if err := textOnly(m); err != nil {
		return nil, err
	}
	delete(m, "merge_how")
	delete(m, "merge_type")
	return m, nil
}

// fileContents writes the bytes that files hold as cloud-init takes them in any YAML: in base64, with the encoding that
// says so.
func fileContents(m map[string]any) {
	files, _ := m["write_files"].([]any)
	for _, f := range files {
		file, _ := f.(map[string]any)
		content, ok := file["content"].(binary)
		if !ok {
			continue
		}
		encoding, _ := file["encoding"].(string)
		switch strings.ToLower(encoding) {
		case "":
			file["encoding"] = "b64"
		case "gz", "gzip":
			file["encoding"] = "gz+b64"
		default:
			continue // textOnly refuses it
		}
		file["content"] = base64.StdEncoding.EncodeToString(content.Bytes())
	}
}

// textOnly refuses bytes where YAML cannot carry them.
func textOnly(v any) error {
	switch v := v.(type) {
	case binary:
		return fmt.Errorf("%s: bytes that are not text belong in a file (write_files)", v.Place())
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if err := textOnly(v[k]); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := textOnly(e); err != nil {
				return err
			}
		}
	}
	return nil
}
