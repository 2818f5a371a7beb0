package stack

import _ "embed"

//go:embed schema.json
var schema string

// Schema is the JSON Schema (draft 2020-12) of stack files, for editors. It takes everything that Parse takes; Parse
// finds more, such as names that are not declared.
func Schema() []byte { return []byte(schema) }
