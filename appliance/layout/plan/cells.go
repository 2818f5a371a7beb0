package plan

import (
	"fmt"
	"math"
	"slices"
)

// Cell is a partition or a free area of a disk as it is drawn, or several of them that are too many to be drawn.
type Cell struct {
	Text  string // "3 ntfs \"Windows\"", "free", "5-90"
	Bytes int64
	Fate  Fate // of the partition; of several the worst; "" for free space
	Width int  // columns, at least 3

	first, last int // the numbers of the partitions
}

// leastWidth is how many columns a cell has at least: what a number takes, and a blank.
const leastWidth = 3

// worst are the fates from the worst one on.
var worst = []Fate{Lost, Emptied, Shrunk, Made, Stays}

// Cells draws the disk to scale, with the partitions of today or those of tomorrow: Before or After. Each cell has
// columns in proportion to its size, and one of the line is left for each edge. Free areas below 16 MiB have no cell.
func (d Disk) Cells(parts []Part, columns int) []Cell {
	cells := d.cells(parts)
	for len(cells) > 1 && 1+len(cells)*(leastWidth+1) > columns {
		cells = joined(cells)
	}
	// The least width first, and then a column at a time to the cell that lacks most.
	left := columns - 1 - len(cells)*(leastWidth+1)
	all := left + leastWidth*len(cells)
	for i := range cells {
		cells[i].Width = leastWidth
	}
	for ; left > 0; left-- {
		most, lacks := 0, math.Inf(-1)
		for i, c := range cells {
			if l := float64(c.Bytes)/float64(d.Size)*float64(all) - float64(c.Width); l > lacks {
				most, lacks = i, l
			}
		}
		cells[most].Width++
	}
	return cells
}

// cells are one for each partition and each free area.
func (d Disk) cells(parts []Part) (cells []Cell) {
	at := int64(0)
	gap := func(to int64) {
		if to-at >= 16*mib {
			cells = append(cells, Cell{Text: "free", Bytes: to - at})
		}
	}
	for _, p := range parts {
		if p.Fate == Extended {
			continue
		}
		gap(p.Start)
		text := p.what()
		if p.Number > 0 {
			text = fmt.Sprintf("%d %s", p.Number, text)
		}
		cells = append(cells, Cell{Text: text, Bytes: p.Size, Fate: p.Fate, first: p.Number, last: p.Number})
		at = p.Start + p.Size
	}
	gap(d.Size)
	if len(cells) == 0 { // smaller than what is drawn as free
		cells = []Cell{{Text: "free", Bytes: d.Size}}
	}
	return cells
}

// joined are the cells with one less: the two neighbours that have the fewest bytes are one.
func joined(cells []Cell) []Cell {
	at := 0
	for i := range cells[1:] {
		if cells[i].Bytes+cells[i+1].Bytes < cells[at].Bytes+cells[at+1].Bytes {
			at = i
		}
	}
	a, b := cells[at], cells[at+1]
	a.Bytes += b.Bytes
	if slices.Index(worst, b.Fate) >= 0 && (a.Fate == "" || slices.Index(worst, b.Fate) < slices.Index(worst, a.Fate)) {
		a.Fate = b.Fate
	}
	if a.first == 0 {
		a.first = b.first
	}
	if b.last > 0 {
		a.last = b.last
	}
	a.Text = fmt.Sprintf("%d-%d", a.first, a.last)
	if a.first == a.last {
		a.Text = fmt.Sprint(a.first)
	}
	cells[at] = a
	return slices.Delete(cells, at+1, at+2)
}
