package frametest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"griddle/tui/frame"
)

// sizes are those of a small window, of a serial line, of 800x600 pixels with a font of 8x16, of a large window, and of
// 1280x800 pixels with that font.
var sizes = []struct {
	columns, rows int
	colored       bool // the golden frames have one with colours too
}{{40, 12, false}, {80, 24, true}, {100, 37, false}, {132, 43, false}, {160, 50, true}}

// Goldens compares what draw draws with testdata/SIZE/NAME.txt, and with colours too: they change nothing but colours.
// It writes the files if update.
func Goldens(t *testing.T, name string, update bool, draw func(theme frame.Theme, columns, rows int) string) {
	t.Helper()
	plain, colors := frame.NewTheme(frame.Look{Lines: true}), frame.NewTheme(frame.Look{Ink: frame.Colors, Lines: true})
	ascii := frame.NewTheme(frame.Look{})
	for _, s := range sizes {
		size := fmt.Sprintf("%dx%d", s.columns, s.rows)
		t.Run(size, func(t *testing.T) {
			got, colored := draw(plain, s.columns, s.rows), draw(colors, s.columns, s.rows)
			Check(t, got, s.columns, s.rows)
			compare(t, filepath.Join("testdata", size, name+".txt"), got, update)
			if s.colored {
				compare(t, filepath.Join("testdata", size+"-colors", name+".txt"), colored, update)
			}
			if trimmed(ansi.Strip(colored)) != trimmed(got) {
				t.Errorf("with colours the frame has other characters:\n%s", ansi.Strip(colored))
			}
			CheckASCII(t, got, draw(ascii, s.columns, s.rows))
		})
	}
}

// compare compares a frame with the file that has it.
func compare(t *testing.T, file, got string, update bool) {
	t.Helper()
	if update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test with -update writes it)", err)
	}
	if got+"\n" != string(want) {
		t.Errorf("the frame is\n%s\nwant\n%s", got, want)
	}
}
