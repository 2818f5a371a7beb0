package content

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const mib = 1 << 20

// What Sample reads of a disk.
const (
	sampleEnds  = 16 * mib // bytes of the beginning, and of the end
	sampleCount = 1024     // the disk is divided into as many equal parts
	sampleSize  = 4096     // bytes that are read in each part, at a random place
	sampleChunk = mib / 4  // bytes of one read of the ends; many disks are read at once
)

// SampleTime is how long Scanner lets Sample read one disk: twice as long as a slow hard disk takes.
const SampleTime = 30 * time.Second

// The two results of Sample for a blank disk.
const (
	Zeros = "zeros" // every byte that was read is 0x00
	Ones  = "ones"  // every byte that was read is 0xff
)

// Sample reads the first and the last 16 MiB of a disk of size bytes, 4 KiB at a random place in each 1/1024 of it, and
// the places where filesystems keep copies of their superblocks, in ascending order. It returns Zeros, Ones, or in
// words why the disk is neither. It ends at the first byte that differs, at the first read that fails, and when ctx
// ends; a disk that was not read in time does not count as blank.
//
// Data that fills the share p of a disk is missed with a chance of (1-p)^1024: 3e-5 for one percent. On a hard disk
// with 12 ms a seek it takes 8 to 12 seconds, on flash memory a tenth of a second.
func Sample(ctx context.Context, r io.ReaderAt, size int64) string {
	s := sampler{r: r, buf: make([]byte, sampleChunk)}
	places := samplePlaces(size)
	for i, p := range places {
		for at := p.from; at < p.to; at += sampleChunk {
			if ctx.Err() != nil {
				return fmt.Sprintf("%sonly %d of %d places", outOfTime, i, len(places))
			}
			if why := s.read(at, min(sampleChunk, p.to-at)); why != "" {
				return why
			}
		}
	}
	switch {
	case !s.began:
		return "it has no bytes"
	case s.first == 0:
		return Zeros
	}
	return Ones
}

const outOfTime = "it was not read in time: "

// OutOfTime says of a result of Sample whether ctx ended it.
func OutOfTime(sampled string) bool { return strings.HasPrefix(sampled, outOfTime) }

// extent is a range of bytes.
type extent struct{ from, to int64 }

// samplePlaces lists what Sample reads, in ascending order and without overlaps.
func samplePlaces(size int64) []extent {
	if size <= 2*sampleEnds+sampleCount*sampleSize {
		return []extent{{0, size}}
	}
	begin, end := int64(sampleEnds), size-sampleEnds
	places := []extent{{0, begin}, {end, size}}
	add := func(at int64) {
		if at >= begin && at < end {
			places = append(places, extent{at, min(at+sampleSize, end)})
		}
	}
	for _, at := range copiesOfSuperblocks() {
		add(at)
	}
	part := size / sampleCount
	for i := range int64(sampleCount) {
		from, to := max(i*part, begin)&^(sampleSize-1), min((i+1)*part, end)
		if from < to { // else the beginning or the end has all of it
			add(from + rand.Int64N((to-from+sampleSize-1)/sampleSize)*sampleSize)
		}
	}
	slices.SortFunc(places, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	merged := places[:1]
	for _, p := range places[1:] {
		if last := &merged[len(merged)-1]; p.from > last.to {
			merged = append(merged, p)
		} else {
			last.to = max(last.to, p.to)
		}
	}
	return merged
}

// copiesOfSuperblocks lists where filesystems keep copies of what is at their beginning, which survive when that is
// wiped and are too small for samples to find: btrfs at 64 MiB and 256 GiB; ext2, ext3 and ext4 in the groups 1 and
// powers of 3, 5 and 7, each 8 times the square of a block long, for blocks of 1, 2 and 4 KiB.
func copiesOfSuperblocks() []int64 {
	places := []int64{64 << 20, 256 << 30}
	for _, group := range []int64{1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343} {
		for _, block := range []int64{1 << 10, 2 << 10, 4 << 10} {
			places = append(places, group*8*block*block)
		}
	}
	return places
}

// sampler compares what it reads with the first byte of the disk.
type sampler struct {
	r     io.ReaderAt
	buf   []byte
	began bool
	first byte
}

// read looks at n bytes, at most sampleChunk, and returns in words what is wrong with them.
func (s *sampler) read(at, n int64) string {
	b := s.buf[:n]
	if got, err := s.r.ReadAt(b, at); got < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Brief(fmt.Sprintf("reading at byte %d: %v", at, err))
	}
	if !s.began {
		s.began, s.first = true, b[0]
	}
	if s.first != 0 && s.first != 0xff {
		return fmt.Sprintf("data at byte %d (0x%02x)", at, s.first)
	}
	// All bytes are the same where each one is the one before it.
	if b[0] == s.first && bytes.Equal(b[1:], b[:n-1]) {
		return ""
	}
	i := 0
	for b[i] == s.first {
		i++
	}
	return fmt.Sprintf("data at byte %d (0x%02x)", at+int64(i), b[i])
}

// Brief makes a message fit to be sent: clean, and short enough for the wire.
func Brief(s string) string {
	const most = 120
	if s = Clean(s); len(s) > most {
		s = Clean(s[:most])
	}
	return s
}
