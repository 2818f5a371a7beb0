package frame

import (
	"strings"
	"testing"
)

func TestBoxes(t *testing.T) {
	lines, ascii := NewTheme(Look{Lines: true}), NewTheme(Look{})
	boxes := []Box{{Columns: 3, Lines: []string{"1 EFI", "x"}, Style: lines.Warn}, {Columns: 0, Lines: []string{"gone"},
		Style: lines.Head},
		{Columns: 5, Lines: []string{"漢漢漢"}, Style: lines.Good}}
	want := []string{
		"┌───┬┬─────┐",
		"│1 E││漢漢 │",
		"│x  ││     │",
		"└───┴┴─────┘",
	}
	if got := lines.Boxes(boxes, 2); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the boxes are\n%s", strings.Join(got, "\n"))
	}
	if got := ascii.Boxes(boxes, 0); strings.Join(got, "\n") != "+---++-----+\n+---++-----+" {
		t.Errorf("in ASCII the boxes are\n%s", strings.Join(got, "\n"))
	}
}
