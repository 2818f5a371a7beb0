package e2e

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"github.com/hinshun/vt10x"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// colors are the sixteen of a terminal, as xterm has them.
var colors = color.Palette{
	color.RGBA{0, 0, 0, 255}, color.RGBA{205, 0, 0, 255}, color.RGBA{0, 205, 0, 255}, color.RGBA{205, 205, 0, 255},
	color.RGBA{0, 0, 238, 255}, color.RGBA{205, 0, 205, 255}, color.RGBA{0, 205, 205, 255},
	color.RGBA{229, 229, 229, 255}, color.RGBA{127, 127, 127, 255}, color.RGBA{255, 0, 0, 255},
	color.RGBA{0, 255, 0, 255}, color.RGBA{255, 255, 0, 255}, color.RGBA{92, 92, 255, 255},
	color.RGBA{255, 0, 255, 255}, color.RGBA{0, 255, 255, 255}, color.RGBA{255, 255, 255, 255},
}

// The size of a cell of the terminal's font, in its dots, and of a dot in pixels: the font is small.
const cellWidth, cellHeight, dot = 7, 13, 2

// Picture writes what the terminal at the serial line shows to a PNG file, as an emulator draws it.
func (c *Console) Picture(file string) error {
	c.screen.Lock()
	defer c.screen.Unlock()
	if err := writePNG(file, drawTerminal(c.screen, screenColumns, screenRows)); err != nil {
		return fmt.Errorf("taking a picture of the terminal of %s: %w", c.Name, err)
	}
	return nil
}

// drawTerminal draws the cells of a terminal.
func drawTerminal(t vt10x.View, columns, rows int) image.Image {
	small := image.NewPaletted(image.Rect(0, 0, columns*cellWidth, rows*cellHeight), colors)
	for y := range rows {
		for x := range columns {
			drawCell(small, image.Rect(x*cellWidth, y*cellHeight, (x+1)*cellWidth, (y+1)*cellHeight), t.Cell(x, y))
		}
	}
	b := small.Bounds()
	large := image.NewPaletted(image.Rect(0, 0, b.Dx()*dot, b.Dy()*dot), colors)
	for y := range large.Rect.Dy() {
		for x := range large.Rect.Dx() {
			large.Pix[large.PixOffset(x, y)] = small.Pix[small.PixOffset(x/dot, y/dot)]
		}
	}
	return large
}

// lines are the sides that a line of the screen goes to from the middle of its cell: left, right, up, down.
var lines = map[rune][4]bool{
	'─': {true, true}, '│': {2: true, 3: true},
	'┌': {1: true, 3: true}, '┐': {0: true, 3: true}, '└': {1: true, 2: true}, '┘': {0: true, 2: true},
	'┬': {true, true, false, true}, '┴': {true, true, true},
}

// drawCell draws one cell. The font has ASCII alone: the lines and blocks of the screen are drawn here.
func drawCell(img *image.Paletted, r image.Rectangle, g vt10x.Glyph) {
	fore, back := image.NewUniform(colorOf(g.FG, g.Mode&bold != 0)), image.NewUniform(colorOf(g.BG, false))
	draw.Draw(img, r, back, image.Point{}, draw.Src)
	fill := func(x0, y0, x1, y1 int) {
		draw.Draw(img, image.Rect(x0, y0, x1, y1), fore, image.Point{}, draw.Src)
	}
	x, y := (r.Min.X+r.Max.X)/2, (r.Min.Y+r.Max.Y)/2
	sides, is := lines[g.Char]
	switch {
	case is:
		for i, side := range []image.Rectangle{{image.Pt(r.Min.X, y), image.Pt(x+1, y+1)},
			{image.Pt(x, y), image.Pt(r.Max.X, y+1)}, {image.Pt(x, r.Min.Y), image.Pt(x+1, y+1)},
			{image.Pt(x, y), image.Pt(x+1, r.Max.Y)}} {
			if sides[i] {
				fill(side.Min.X, side.Min.Y, side.Max.X, side.Max.Y)
			}
		}
	case g.Char == '█':
		fill(r.Min.X, r.Min.Y, r.Max.X, r.Max.Y)
	case g.Char == '░':
		for y := r.Min.Y; y < r.Max.Y; y += 2 {
			for x := r.Min.X + y/2%2; x < r.Max.X; x += 2 {
				fill(x, y, x+1, y+1)
			}
		}
	case g.Char > ' ':
		d := font.Drawer{Dst: img, Src: fore, Face: basicfont.Face7x13,
			Dot: fixed.P(r.Min.X, r.Min.Y+basicfont.Face7x13.Ascent)}
		d.DrawString(string(g.Char))
	}
}

// bold is the bit of a glyph's mode, which vt10x does not export.
const bold = 1 << 2

// colorOf is a colour of the terminal: light grey on black is what it has without one, and white if it is bold.
func colorOf(c vt10x.Color, bold bool) color.Color {
	switch {
	case c.ANSI():
		return colors[c]
	case c == vt10x.DefaultFG && bold:
		return colors[15]
	case c == vt10x.DefaultFG:
		return colors[7]
	}
	return colors[0]
}
