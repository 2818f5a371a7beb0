package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griddle/initramfs/erase/ata"
	"griddle/initramfs/erase/nvme"
)

const jobID = "0d5c1fc4-6a2c-4f7d-8a53-0f6f3f0f6a01"

// memory is a disk in memory with a cache: what was written is durable after Sync, and before that it may be.
type memory struct {
	disk   []byte // what survives a power cut
	cache  []piece
	left   int // operations until the power is cut; negative: never
	bad    map[int64]error
	closed bool
}

type piece struct {
	at int64
	b  []byte
}

var errCut = errors.New("the power was cut")

func (m *memory) op() error {
	if m.left == 0 {
		return errCut
	}
	m.left--
	return nil
}

// failing is the error of the first bad block in a range.
func (m *memory) failing(at, n int64) error {
	for bad, err := range m.bad {
		if bad >= at && bad < at+n {
			return err
		}
	}
	return nil
}

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > int64(len(m.disk)) {
		return 0, io.EOF
	}
	if err := m.failing(at, int64(len(b))); err != nil {
		return 0, err
	}
	copy(b, m.disk[at:])
	for _, p := range m.cache {
		from, to := max(at, p.at), min(at+int64(len(b)), p.at+int64(len(p.b)))
		if from < to {
			copy(b[from-at:to-at], p.b[from-p.at:])
		}
	}
	return len(b), nil
}

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	if err := m.op(); err != nil {
		return 0, err
	}
	if err := m.failing(at, int64(len(b))); err != nil {
		return 0, err
	}
	m.cache = append(m.cache, piece{at, bytes.Clone(b)})
	return len(b), nil
}

func (m *memory) Sync() error {
	if err := m.op(); err != nil {
		return err
	}
	for _, p := range m.cache {
		copy(m.disk[p.at:], p.b)
	}
	m.cache = nil
	return nil
}

// cut is the disk after a power cut: of what was not flushed, each sector is there or not.
func (m *memory) cut(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for _, p := range m.cache {
		for i := 0; i < len(p.b); i += 512 {
			if r.IntN(2) == 0 {
				copy(m.disk[p.at+int64(i):], p.b[i:i+512])
			}
		}
	}
	m.cache, m.left = nil, -1
}

func (m *memory) Geometry() (int64, int, error) { return int64(len(m.disk)), 512, nil }
func (m *memory) Discard() error                { return unix.EOPNOTSUPP }
func (m *memory) SecureDiscard() error          { return unix.EOPNOTSUPP }
func (m *memory) Forget() error                 { return nil }
func (m *memory) NVMe() (nvme.Drive, error)     { return nvme.Drive{}, unix.ENOTTY }
func (m *memory) ATA() ata.Drive {
	return ata.Drive{Do: func(ata.Command) (ata.Answer, error) { return ata.Answer{}, unix.ENOTTY }}
}
func (m *memory) Close() error { m.closed = true; return nil }

// filled is a disk in memory on which no byte is zero.
func filled(n int) *memory {
	m := &memory{disk: make([]byte, n), left: -1}
	for i := range m.disk {
		m.disk[i] = byte(i%251) + 1
	}
	return m
}

// stepping is a clock that moves so fast that the mark is saved after every chunk.
func stepping() func() time.Time {
	now := time.Unix(0, 0)
	return func() time.Time { now = now.Add(step); return now }
}

// TestCut cuts the power after each operation of an overwrite, twice, and continues. Whatever the mark says was
// overwritten is; and in the end all of it.
func TestCut(t *testing.T) {
	const each = 16 * block
	const size = 5*each + 3*512
	var at atomic.Int64
	begin := mark{job: jobID, size: size, done: head}
	run := func(d *memory) error {
		m, ok := findMark(d, jobID, size)
		if !ok {
			m = begin
		}
		w := overwriting{d: d, m: m, at: &at, each: each, now: stepping()}
		return w.run(t.Context())
	}
	whole := filled(size)
	whole.left = 1 << 30
	if err := run(whole); err != nil {
		t.Fatal(err)
	}
	ops := 1<<30 - whole.left
	resumed := 0
	for n := range ops {
		for seed := range uint64(3) {
			d := filled(size)
			for _, left := range []int{n, (n + int(seed)*7) % ops} {
				d.left = left
				if err := run(d); err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				d.cut(seed)
				m, ok := findMark(d, jobID, size)
				if ok && m.done > head {
					resumed++
				}
				if ok && !bytes.Equal(d.disk[head:m.done], make([]byte, m.done-head)) {
					t.Fatalf("cut after %d operations: the mark counts bytes that are not zero", left)
				}
			}
			if err := run(d); err != nil || !bytes.Equal(d.disk[head:], make([]byte, size-head)) {
				t.Fatalf("cut after %d operations and continued: %v", n, err)
			}
		}
	}
	if resumed < ops {
		t.Errorf("%d of %d cuts left a mark to continue at", resumed, 6*ops)
	}
}

func TestMark(t *testing.T) {
	want := mark{job: jobID, size: 1 << 40, done: 1 << 30}
	b := want.encode()
	if got, ok := readMark(b); !ok || got != want || len(b) != head || !bytes.Equal(b[markSize:], make([]byte,
		head-markSize)) {
		t.Errorf("%+v, %v", got, ok)
	}
	for i := range markSize {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if got, ok := readMark(c); ok {
			t.Errorf("byte %d changed: %+v", i, got)
		}
	}
	for _, m := range []mark{{"", 1 << 20, head}, {"largest-largest-largest-largest-larg", 1 << 20, head},
		{jobID, 1 << 20, 1<<20 + 1}, {jobID, 1 << 20, head - 1}, {jobID, -1, head}} {
		if got, ok := readMark(m.encode()); ok {
			t.Errorf("%+v", got)
		}
	}
}

func FuzzMark(f *testing.F) {
	f.Add(mark{job: jobID, size: 1 << 20, done: head}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := readMark(b); ok && !bytes.Equal(m.encode()[:markSum], b[:markSum]) && len(m.job) != 36 {
			t.Errorf("%+v", m)
		}
	})
}

// TestBadBlocks: what cannot be written is counted, and all around it is overwritten.
func TestBadBlocks(t *testing.T) {
	const size = 2 * chunk
	var at atomic.Int64
	d := filled(size)
	d.bad = map[int64]error{chunk + 5*block: unix.EIO, chunk + 9*block + 512: unix.EIO}
	w := overwriting{d: d, m: mark{jobID, size, head}, at: &at, each: chunk, now: time.Now}
	if err := w.run(t.Context()); err != nil || w.lost != 2*block {
		t.Fatalf("lost %d: %v", w.lost, err)
	}
	for i := int64(head); i < size; i++ {
		bad := i >= chunk+5*block && i < chunk+6*block || i >= chunk+9*block && i < chunk+10*block
		if (d.disk[i] == 0) == bad {
			t.Fatalf("byte %d is %d", i, d.disk[i])
		}
	}
	r, err := readBack(t.Context(), d, head, size, &at)
	if err != nil || r.unreadable != 2*block || r.data >= 0 || r.bytes != size-head-2*block {
		t.Errorf("%+v, %v", r, err)
	}
	for _, gone := range []error{unix.ENXIO, unix.ENODEV} {
		d.bad = map[int64]error{chunk: gone}
		w = overwriting{d: d, m: mark{jobID, size, head}, at: &at, each: chunk, now: time.Now}
		if err := w.run(t.Context()); !errors.Is(err, errGone) {
			t.Errorf("%v: %v", gone, err)
		}
		if _, err := readBack(t.Context(), d, head, size, &at); !errors.Is(err, errGone) {
			t.Errorf("%v: %v", gone, err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCut)
	w = overwriting{d: filled(size), m: mark{jobID, size, head}, at: &at, each: chunk, now: time.Now}
	if err := w.run(ctx); !errors.Is(err, errCut) {
		t.Errorf("stopped: %v", err)
	}
}

func TestSamples(t *testing.T) {
	d := filled(3000*block + 512)
	size := int64(len(d.disk))
	before := takeSamples(t.Context(), d, size)
	if len(before) < sampleCount || before[0].at != 0 || before[len(before)-1].at != 2999*block {
		t.Fatalf("%d samples from %d", len(before), before[0].at)
	}
	same, err := compare(t.Context(), d, before)
	if err != nil || same.Same != same.Data || same.Data != int64(len(before))*block || same.Zeros {
		t.Errorf("unchanged: %+v, %v", same, err)
	}
	kept := before[500]
	clear(d.disk[:kept.at])
	clear(d.disk[kept.at+block:])
	one, err := compare(t.Context(), d, before)
	if err != nil || one.Same != block || one.Zeros {
		t.Errorf("one is left: %+v, %v", one, err)
	}
	clear(d.disk)
	none, err := compare(t.Context(), d, before)
	if err != nil || none.Same != 0 || !none.Zeros || none.Bytes != int64(len(before))*block {
		t.Errorf("zeros: %+v, %v", none, err)
	}
	d.bad = map[int64]error{before[7].at: unix.EIO}
	if v, err := compare(t.Context(), d, before); err != nil || v.Unreadable != block {
		t.Errorf("unreadable: %+v, %v", v, err)
	}
	if fmt.Sprint(takeSamples(t.Context(), filled(head), head)) == "[]" {
		t.Error("the smallest disk has no samples")
	}
}
