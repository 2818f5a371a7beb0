package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestInstalledCommands: testdata/machine/installed.txtar runs all commands of docs/INSTALLED.md that are for the
// server. Those for a machine are run by TestDocument of package upkeep.
func TestInstalledCommands(t *testing.T) {
	commands := func(file, prefix, suffix string) (out []string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, prefix+"griddle "); ok {
				out = append(out, strings.TrimSpace(strings.Replace(rest, suffix, "", 1)))
			}
		}
		return out
	}
	shown := commands("../../docs/INSTALLED.md", "    ", "")
	ran := commands("testdata/machine/installed.txtar", "", " --state-dir $STATE")
	ran = slices.DeleteFunc(ran, func(c string) bool { return strings.HasPrefix(c, "machine install ") })
	if len(shown) < 5 || !slices.Equal(shown, ran) {
		t.Errorf("the document shows\n%s\nand the script runs\n%s", strings.Join(shown, "\n"), strings.Join(ran, "\n"))
	}
}
