package erase

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"slices"

	"griddle/appliance/job"
)

const (
	sampleCount = 1024 // equal parts of the disk, with a sample at a random place in each
	sampleEnds  = 64   // samples at the beginning and at the end, one after the other
)

// sample is a place of the disk and what was there before: one block.
type sample struct {
	at   int64
	data bool // it was neither all 0x00 nor all 0xff, and hash is its SHA-256
	hash [sha256.Size]byte
}

// takeSamples reads places across a disk of size bytes before it is erased, in ascending order. What cannot be read has
// no data to compare.
func takeSamples(ctx context.Context, r io.ReaderAt, size int64) []sample {
	var out []sample
	blocks := size / block
	add := func(n int64) {
		if n >= 0 && n < blocks {
			out = append(out, sample{at: n * block})
		}
	}
	for i := range int64(sampleEnds) {
		add(i)
		add(blocks - 1 - i)
	}
	part := blocks / sampleCount
	for i := range int64(sampleCount) {
		if part > 0 {
			add(i*part + rand.Int64N(part))
		}
	}
	slices.SortFunc(out, func(a, b sample) int { return int(a.at/block - b.at/block) })
	out = slices.CompactFunc(out, func(a, b sample) bool { return a.at == b.at })
	b := aligned(block)
	for i := range out {
		if ctx.Err() != nil {
			return out
		}
		if n, _ := r.ReadAt(b, out[i].at); n == block && !uniform(b) {
			out[i].data, out[i].hash = true, sha256.Sum256(b)
		}
	}
	return out
}

// uniform says whether b is all 0x00 or all 0xff.
func uniform(b []byte) bool {
	return (b[0] == 0 || b[0] == 0xff) && bytes.Equal(b[1:], b[:len(b)-1])
}

// compare reads the samples again after the disk was erased.
func compare(ctx context.Context, r io.ReaderAt, before []sample) (v job.Verification, err error) {
	v.Way, v.Zeros = job.EraseReadSamples, true
	b := aligned(block)
	for _, s := range before {
		if ctx.Err() != nil {
			return v, context.Cause(ctx)
		}
		if s.data {
			v.Data += block
		}
		if n, _ := r.ReadAt(b, s.at); n < block {
			v.Unreadable += block
			continue
		}
		v.Bytes += block
		v.Zeros = v.Zeros && uniform(b) && b[0] == 0
		if s.data && sha256.Sum256(b) == s.hash {
			v.Same += block
		}
	}
	v.Zeros = v.Zeros && v.Bytes > 0
	return v, nil
}
