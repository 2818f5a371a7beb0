package job

import "slices"

// ScreenPicture is a screen that frames were put on. Its zero value is empty.
type ScreenPicture struct {
	Number        uint64 // of the last frame
	Columns, Rows int
	lines         [][]ScreenRun
}

// Put is the picture with a frame on it, and false if the frame has only changes of another picture. A frame that has
// passed ScreenFrame.Bounded is expected; p and what was copied from it stay as they are.
func (p ScreenPicture) Put(f ScreenFrame) (ScreenPicture, bool) {
	if !f.Whole && (f.Number != p.Number && f.Number != p.Number+1 || f.Columns != p.Columns || f.Rows != p.Rows) {
		return p, false
	}
	next := ScreenPicture{f.Number, f.Columns, f.Rows, make([][]ScreenRun, f.Rows)}
	if !f.Whole {
		copy(next.lines, p.lines)
	}
	for _, l := range f.Lines {
		if l.Row >= 0 && l.Row < len(next.lines) {
			next.lines[l.Row] = l.Runs
		}
	}
	return next, true
}

// Frame is what changed from before to p, or all of p if before has another size.
func (p ScreenPicture) Frame(before ScreenPicture) ScreenFrame {
	f := ScreenFrame{Number: p.Number, Columns: p.Columns, Rows: p.Rows,
		Whole: before.Columns != p.Columns || before.Rows != p.Rows || before.Number == 0}
	for row, runs := range p.lines {
		if f.Whole || !slices.Equal(runs, before.lines[row]) {
			f.Lines = append(f.Lines, ScreenLine{Row: row, Runs: runs})
		}
	}
	return f
}

// Line is what a row has, from 0 on at the top; nothing for a row that the picture lacks.
func (p ScreenPicture) Line(row int) []ScreenRun {
	if row < 0 || row >= len(p.lines) {
		return nil
	}
	return p.lines[row]
}
