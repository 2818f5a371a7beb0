package entries

// geometry is how many heads a disk has, and how many sectors a track, for addresses of cylinder, head and sector
// (CHS). No present system reads these, but old boot code does.
type geometry struct{ heads, perTrack int64 }

// usual is the geometry that systems have used since disks became larger than 8 GB.
var usual = geometry{255, 63}

// reach is how many sectors have an address: those of 1024 cylinders.
func (g geometry) reach() int64 { return 1024 * g.heads * g.perTrack }

// chs is the address of a sector as it is in an MBR: head, sector with the cylinder's two high bits, cylinder. A sector
// beyond them has the last address, as fdisk and Windows write it.
func (g geometry) chs(sector int64) [3]byte {
	sector = min(sector, g.reach()-1)
	c, h, s := sector/(g.heads*g.perTrack), sector/g.perTrack%g.heads, sector%g.perTrack+1
	return [3]byte{byte(h), byte(s | c>>8<<6), byte(c)}
}

// geometry is the one in which all entries of an MBR have the addresses that they have, or the usual one.
func (t *Table) geometry() geometry {
	for _, g := range []geometry{usual, {240, 63}, {128, 63}, {64, 63}, {32, 63}, {16, 63}, {64, 32}} {
		fits := true
		for _, p := range t.spans() {
			first, last := g.chs(p.from), g.chs(p.to-1)
			e := t.slot(p.number)
			fits = fits && [3]byte(e[mbrFirstCHS:]) == first && [3]byte(e[mbrLastCHS:]) == last
		}
		if fits {
			return g
		}
	}
	return usual
}
