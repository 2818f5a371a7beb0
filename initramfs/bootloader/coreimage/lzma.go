package coreimage

import "errors"

// Properties of the streams in a core.img (grub-core/lib/LzmaEnc.c, as util/mkimage.c calls it): 3 bits of the byte
// before and none of the position choose how a literal is coded, 2 bits of the position all else. There is no header
// and no mark at the end.
const (
	literalContext = 3
	positions      = 1 << 2
)

// probability is that of a bit to be 0, of 2048.
type probability uint16

const (
	probabilityBits = 11
	half            = 1 << probabilityBits / 2
	states          = 12
	minMatch        = 2
)

var errStream = errors.New("it is not a stream of LZMA")

// decoder decompresses a stream (Igor Pavlov, LZMA specification, 2015). A library makes the boot image 35 KB larger.
type decoder struct {
	in     []byte
	width  uint32
	code   uint32
	failed bool // more was read than there is

	literals   [1 << literalContext][0x300]probability
	isMatch    [states][positions]probability
	isRep      [states]probability
	isRep0     [states]probability
	isRep0Long [states][positions]probability
	isRep1     [states]probability
	isRep2     [states]probability
	slots      [4][1 << 6]probability
	near       [128]probability
	align      [1 << 4]probability
	match, rep lengths
}

// lengths codes how long a match is.
type lengths struct {
	choice, choice2 probability
	low, mid        [positions][1 << 3]probability
	high            [1 << 8]probability
}

// decompress makes size bytes of a stream.
func decompress(stream []byte, size int) ([]byte, error) {
	if len(stream) < 5 || stream[0] != 0 {
		return nil, errStream
	}
	d := &decoder{in: stream[1:], width: 0xffffffff}
	for range 4 {
		d.code = d.code<<8 | uint32(d.next())
	}
	d.reset()
	return d.run(size)
}

func (d *decoder) run(size int) ([]byte, error) {
	out := make([]byte, 0, size)
	state, reps := 0, [4]uint32{}
	for len(out) < size && !d.failed {
		at := len(out) & (positions - 1)
		if d.bit(&d.isMatch[state][at]) == 0 {
			out = append(out, d.literal(out, state, reps[0]))
			state = afterLiteral(state)
			continue
		}
		var length int
		if d.bit(&d.isRep[state]) == 0 {
			length = d.length(&d.match, at)
			copy(reps[1:], reps[:3])
			reps[0] = d.distance(length)
			state = after(state, 7, 10)
		} else {
			if len(out) == 0 {
				return nil, errStream
			}
			if d.bit(&d.isRep0[state]) == 0 {
				if d.bit(&d.isRep0Long[state][at]) == 0 {
					if uint64(reps[0]) >= uint64(len(out)) {
						return nil, errStream
					}
					out = append(out, out[len(out)-1-int(reps[0])])
					state = after(state, 9, 11)
					continue
				}
			} else {
				d.earlier(&reps, state)
			}
			length = d.length(&d.rep, at)
			state = after(state, 8, 11)
		}
		if uint64(reps[0]) >= uint64(len(out)) || length > size-len(out) {
			return nil, errStream
		}
		for range length {
			out = append(out, out[len(out)-1-int(reps[0])])
		}
	}
	if d.failed {
		return nil, errStream
	}
	return out, nil
}

// earlier takes the second, third or fourth last distance again.
func (d *decoder) earlier(reps *[4]uint32, state int) {
	n := 1
	if d.bit(&d.isRep1[state]) == 1 {
		n = 2 + int(d.bit(&d.isRep2[state]))
	}
	r := reps[n]
	copy(reps[1:n+1], reps[:n])
	reps[0] = r
}

func after(state, literal, match int) int {
	if state < 7 {
		return literal
	}
	return match
}

func afterLiteral(state int) int {
	switch {
	case state < 4:
		return 0
	case state < 10:
		return state - 3
	}
	return state - 6
}

func (d *decoder) literal(out []byte, state int, rep uint32) byte {
	before := byte(0)
	if len(out) > 0 {
		before = out[len(out)-1]
	}
	p := &d.literals[before>>(8-literalContext)]
	symbol := uint32(1)
	if state >= 7 && uint64(rep) < uint64(len(out)) {
		like := uint32(out[len(out)-1-int(rep)])
		for symbol < 0x100 {
			want := like >> 7 & 1
			like <<= 1
			b := d.bit(&p[(1+want)<<8+symbol])
			symbol = symbol<<1 | b
			if want != b {
				break
			}
		}
	}
	for symbol < 0x100 {
		symbol = symbol<<1 | d.bit(&p[symbol])
	}
	return byte(symbol)
}

func (d *decoder) length(l *lengths, at int) int {
	switch {
	case d.bit(&l.choice) == 0:
		return minMatch + int(d.tree(l.low[at][:], 3))
	case d.bit(&l.choice2) == 0:
		return minMatch + 8 + int(d.tree(l.mid[at][:], 3))
	}
	return minMatch + 16 + int(d.tree(l.high[:], 8))
}

// distance is one less than how far back a match is.
func (d *decoder) distance(length int) uint32 {
	slot := d.tree(d.slots[min(length-minMatch, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := slot>>1 - 1
	far := (2 | slot&1) << bits
	if slot < 14 {
		return far + d.reverse(d.near[far-slot:], bits)
	}
	direct := uint32(0)
	for range bits - 4 {
		d.width >>= 1
		one := uint32(0)
		if d.code >= d.width {
			d.code -= d.width
			one = 1
		}
		direct = direct<<1 | one
		d.normalize()
	}
	return far + direct<<4 + d.reverse(d.align[:], 4)
}

func (d *decoder) tree(p []probability, bits int) uint32 {
	m := uint32(1)
	for range bits {
		m = m<<1 | d.bit(&p[m])
	}
	return m - 1<<bits
}

func (d *decoder) reverse(p []probability, bits uint32) (out uint32) {
	m := uint32(1)
	for i := range bits {
		b := d.bit(&p[m])
		m = m<<1 | b
		out |= b << i
	}
	return out
}

func (d *decoder) bit(p *probability) uint32 {
	bound := d.width >> probabilityBits * uint32(*p)
	b := uint32(0)
	if d.code < bound {
		*p += (1<<probabilityBits - *p) >> 5
		d.width = bound
	} else {
		*p -= *p >> 5
		d.code, d.width = d.code-bound, d.width-bound
		b = 1
	}
	d.normalize()
	return b
}

func (d *decoder) normalize() {
	if d.width < 1<<24 {
		d.width <<= 8
		d.code = d.code<<8 | uint32(d.next())
	}
}

func (d *decoder) next() byte {
	if len(d.in) == 0 {
		d.failed = true
		return 0
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b
}

// reset gives each bit the same probability to be 0 or 1.
func (d *decoder) reset() {
	even := func(all ...[]probability) {
		for _, p := range all {
			for i := range p {
				p[i] = half
			}
		}
	}
	for i := range d.literals {
		even(d.literals[i][:])
	}
	for i := range states {
		even(d.isMatch[i][:], d.isRep0Long[i][:])
	}
	for i := range d.slots {
		even(d.slots[i][:])
	}
	even(d.isRep[:], d.isRep0[:], d.isRep1[:], d.isRep2[:], d.near[:], d.align[:])
	for _, l := range []*lengths{&d.match, &d.rep} {
		l.choice, l.choice2 = half, half
		for i := range positions {
			even(l.low[i][:], l.mid[i][:])
		}
		even(l.high[:])
	}
}
