//go:build cloud

package main

import (
	"fmt"
	"testing"

	"griddle/appliance/e2e/machinetest"
)

// TestTemplateForReal runs every command of docs/TEMPLATE.md, with a Debian that it downloads.
func TestTemplateForReal(t *testing.T) {
	mirror, err := machinetest.Mirror(t.Context(), "bookworm")
	if err != nil {
		t.Fatal(err)
	}
	// The document takes the default mirror, which this computer may not reach.
	t.Log(sandbox(t, "../../docs/TEMPLATE.md", true, withProgram+fmt.Sprintf("mmdebstrap() { command mmdebstrap "+
		"\"$@\" %q; }", mirror), ""))
}
