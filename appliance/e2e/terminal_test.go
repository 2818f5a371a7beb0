package e2e

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/hinshun/vt10x"
)

// TestPicture: a picture of a terminal has its characters, its lines and its colours, and few bytes.
func TestPicture(t *testing.T) {
	term := vt10x.New(vt10x.WithSize(screenColumns, screenRows))
	_, _ = term.Write([]byte("\x1b[2J\x1b[H\x1b[30;46mA \x1b[0m─│\x1b[31m█\x1b[0m░\x1b[1m!"))
	file := filepath.Join(t.TempDir(), "terminal.png")
	if err := writePNG(file, drawTerminal(term, screenColumns, screenRows)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if b := img.Bounds(); err != nil || info.Size() > 2000 || b.Dx() != 1120 || b.Dy() != 624 {
		t.Errorf("the picture has %d bytes and %v, %v", info.Size(), b, err)
	}
	// of the cell in column x of the first row, how many pixels have one of the colours
	count := func(x, color int) (n int) {
		for py := range cellHeight * dot {
			for px := range cellWidth * dot {
				r, g, b, _ := img.At(x*cellWidth*dot+px, py).RGBA()
				wr, wg, wb, _ := colors[color].RGBA()
				if r == wr && g == wg && b == wb {
					n++
				}
			}
		}
		return n
	}
	const all = cellWidth * cellHeight * dot * dot
	for _, c := range []struct{ x, color, least, most int }{
		{0, 6, all / 2, all - 20}, // A on cyan
		{0, 0, 20, all / 2},       // in black
		{1, 6, all, all},          // its blank
		{2, 7, 28, 28},            // a horizontal line, one dot high
		{3, 7, 52, 52},            // a vertical one
		{4, 1, all, all},          // a red block
		{5, 7, all / 5, all / 3},  // a light block
		{6, 15, 10, all / 3},      // bold is bright
		{7, 0, all, all},          // nothing
	} {
		if n := count(c.x, c.color); n < c.least || n > c.most {
			t.Errorf("column %d has %d of %d pixels in colour %d, want %d to %d", c.x, n, all, c.color, c.least, c.most)
		}
	}
}
