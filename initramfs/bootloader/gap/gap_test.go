package gap

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// memory is a disk.
type memory []byte

func (m memory) ReadAt(b []byte, at int64) (int, error) {
	n := copy(b, m[min(at, int64(len(m))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (m memory) WriteAt(b []byte, at int64) (int, error) { return copy(m[at:], b), nil }

const image = 100_000 // bytes; 196 sectors

// used are sectors, from a to b, that another loader has.
type used struct{ a, b int64 }

// disk has 1 MiB before its first partition, and something in it.
func disk(others ...used) memory {
	m := make(memory, 2<<20)
	for _, u := range others {
		for i := u.a * sector; i < u.b*sector; i++ {
			m[i] = byte(i%251) | 1
		}
	}
	return m
}

// The room is the last zeros, twice as large as the image if it can be; all else stays, and Find and Reserve find it.
func TestReserve(t *testing.T) {
	whole := Extent{sector, 1<<20 - sector}
	for _, c := range []struct {
		name   string
		others []used
		in     Extent
		want   Extent // in sectors; the zero value for ErrNone
	}{
		{"empty", []used{{0, 1}}, whole, Extent{2048 - 392, 392}},
		{"another GRUB", []used{{0, 1}, {1, 120}}, whole, Extent{2048 - 392, 392}},
		{"a licence at the end", []used{{2040, 2041}}, whole, Extent{2040 - 392, 392}},
		{"room for one image only", []used{{1, 1700}}, whole, Extent{2048 - 196, 196}},
		{"room in the middle", []used{{1, 10}, {210, 2048}}, whole, Extent{10 + 4, 196}},
		{"exactly enough", []used{{1, 13}, {210, 2048}}, whole, Extent{14, 196}},
		{"one sector too little", []used{{1, 14}, {210, 2048}}, whole, Extent{}},
		{"an old table, with 63 sectors", nil, Extent{sector, 62 * sector}, Extent{}},
		{"no gap", nil, Extent{sector, 0}, Extent{}},
		{"the boot record too", nil, Extent{0, 1 << 20}, Extent{}},
		{"a partition", []used{{2048, 2200}}, Extent{1 << 20, 1 << 20}, Extent{4096 - 392, 392}},
	} {
		d := disk(c.others...)
		before := bytes.Clone(d)
		checked := Check(d, c.in, image)
		if !bytes.Equal(d, before) {
			t.Errorf("%s: Check wrote to the disk", c.name)
		}
		want := Extent{c.want.Start * sector, c.want.Size * sector}
		for range 2 {
			got, err := Reserve(d, c.in, image)
			if got != want || (want == Extent{}) != errors.Is(err, ErrNone) || (err == nil) != (checked == nil) {
				t.Errorf("%s: Reserve = %v, %v, want %v; Check = %v", c.name, got, err, want, checked)
			}
		}
		if (want == Extent{}) {
			if !bytes.Equal(d, before) {
				t.Errorf("%s: the disk has changed", c.name)
			}
			continue
		}
		if found, ok, err := Find(d, c.in); found != want || !ok || err != nil {
			t.Errorf("%s: Find = %v, %v, %v", c.name, found, ok, err)
		}
		// A new image may be larger, and has the room as long as it fits.
		if got, err := Reserve(d, c.in, want.Size); err != nil || got != want {
			t.Errorf("%s: Reserve for all of it = %v, %v", c.name, got, err)
		}
		copy(d[want.Start:want.Start+want.Size], bytes.Repeat([]byte{0x90}, int(want.Size)))
		if err := Release(d, c.in); err != nil || !bytes.Equal(d, before) {
			t.Errorf("%s: Release: %v, and the disk is as before: %v", c.name, err, bytes.Equal(d, before))
		}
		if _, ok, err := Find(d, c.in); ok || err != nil {
			t.Errorf("%s: Find after Release = %v, %v", c.name, ok, err)
		}
	}
}

// A larger image gets another room, and that is found then.
func TestReserveMore(t *testing.T) {
	d, in := disk(), Extent{sector, 1<<20 - sector}
	if _, err := Reserve(d, in, image); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := Reserve(d, in, 3*image); err != nil || got.Size != 2*586*sector {
			t.Errorf("Reserve = %v, %v", got, err)
		}
	}
}

// Whatever is in the gap, only zeros are taken, and what is found is inside.
func FuzzReserve(f *testing.F) {
	f.Add(encode(512, 1024), uint64(1), uint16(1000))
	f.Add(encode(512, 1<<40), uint64(2), uint16(70))
	f.Add([]byte(magic), uint64(3), uint16(2))
	f.Fuzz(func(t *testing.T, mark []byte, seed uint64, sectors uint16) {
		d := make(memory, 128<<10)
		r := rand.New(rand.NewPCG(seed, 1))
		for range r.IntN(4) {
			at := r.IntN(len(d) - 1)
			copy(d[at:], bytes.Repeat([]byte{1}, r.IntN(9000)))
		}
		copy(d[sector*(1+r.IntN(200)):], mark)
		before := bytes.Clone(d)
		in := Extent{sector, int64(len(d)) - sector}
		_, had, err := Find(d, in)
		if err != nil {
			t.Fatal(err)
		}
		room, err := Reserve(d, in, int64(sectors)*100)
		if err != nil {
			if !bytes.Equal(d, before) {
				t.Error("the disk changed without room")
			}
			return
		}
		if room.Start < 2*sector || room.Start+room.Size > int64(len(d)) || room.Size < int64(sectors)*100 {
			t.Errorf("the room is %v", room)
		}
		if had && bytes.Equal(d, before) {
			return
		}
		for i, b := range before[room.Start-sector : room.Start+room.Size] {
			if b != 0 {
				t.Fatalf("byte %d of the room was %d", i, b)
			}
		}
	})
}
