package tui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocuments: each part of a screen that docs/INSTALL.md shows is one that the golden frames have.
func TestDocuments(t *testing.T) {
	text, err := os.ReadFile("../docs/INSTALL.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/80x24/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden frames, %v", len(files), err)
	}
	var frames []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, string(b))
	}
	shown := 0
	for block := range strings.SplitSeq(string(text), "\n\n        ") {
		if !strings.HasPrefix(block, "─") {
			continue
		}
		shown++
		var part strings.Builder
		for line := range strings.Lines("        " + block) {
			inside, is := strings.CutPrefix(line, "        ")
			if !is && strings.TrimSpace(line) != "" {
				break
			}
			part.WriteString(inside)
		}
		want := strings.TrimRight(part.String(), "\n") + "\n"
		found := false
		for _, f := range frames {
			found = found || strings.Contains(f, want)
		}
		if !found {
			t.Errorf("docs/INSTALL.md shows a screen that no golden frame has:\n%s", want)
		}
	}
	if shown < 3 {
		t.Errorf("docs/INSTALL.md shows %d screens, want 3 or more", shown)
	}
}
