package kernels

import (
	"os"
	"strings"
	"testing"
)

// The command lines that docs/INSTALLED.md shows.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/INSTALLED.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		if args, ok := strings.CutPrefix(line, "    griddle-agent kernels"); ok {
			seen++
			if l, err := read(strings.Fields(args)); err != nil {
				t.Errorf("%s: %+v, %v", line, l, err)
			}
		}
	}
	if seen != 1 {
		t.Errorf("the document shows the command %d times", seen)
	}
}
