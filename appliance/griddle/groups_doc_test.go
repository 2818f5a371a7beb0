package main

import (
	"strings"
	"testing"
)

// TestGroupsDocument runs the commands of docs/GROUPS.md beside a server that knows one address and one image.
func TestGroupsDocument(t *testing.T) {
	out := sandbox(t, "../../docs/GROUPS.md", false, withProgram+
		"griddle serve --interface eth1 --mode proxy >/run/serve.log 2>&1 &\n"+
		"for i in {1..600}; do griddle machine list >/dev/null 2>&1 && break; sleep 0.2; done\n"+
		"griddle publish dir:/srv/template web || { cat /run/serve.log; exit 1; }\n"+
		"griddle machine set 52:54:00:12:34:56 --hostname '{name}'\ncd /tmp\n", "kill %1")
	for _, want := range []string{"Changed: lab-1.", "lab-1 gets web:", "zone", "Europe/Berlin",
		"lab-1 is retired.", "lab-1 is in use again.", "lab-1-old", "The group lab1 is deleted."} {
		if !strings.Contains(out, want) {
			t.Errorf("the commands do not print %q:\n%s", want, out)
		}
	}
}
