// Package trial measures how long Griddle and other programs take to bring a file to many receivers over a limited
// and lossy network. Each sender and each receiver is a process in a namespace of package testbed, so its processor
// time is known.
//
// Start with Run. A Griddle process is a child of this program that calls Child.
//
// What is measured: Total, from the start of the sender's process to the end of the last receiver; Sent, the bytes
// that left the sender's interface, with Ethernet headers; and the processor time of each process. For Griddle also
// Session: from the first datagram of data, after all have gathered, until the last receiver has every byte.
package trial

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"griddle/imagestore/multicast/testbed"
)

// Options are one trial. Zero values mean a good network without loss, unless the field says otherwise.
type Options struct {
	Tool      string // "griddle", "udpcast", "uftp" or "http"
	Receivers int    // 1 to 200
	Size      int64  // bytes of the file; 0 means 100 MiB
	Link      int64  // of the sender, bits per second with Ethernet headers; 0 means 100 Mbit/s
	Rate      int64  // payload bits per second at most; 0 means 0.93 of Link, which fills it
	Wire      testbed.Wire
	Slow      int64         // bits per second of the last receiver's port; 0 is as the others
	Late      float64       // the last receiver starts after so much of the file's time, 0 to 1
	Spool     bool          // receivers of griddle have a spool on the disk
	Limit     time.Duration // after which all processes are killed; 0 means 2 minutes
	Dir       string        // where files are made; "" means os.TempDir
	Child     []string      // the command that calls Child, for griddle
}

func (o *Options) defaults() {
	if o.Size == 0 {
		o.Size = 100 << 20
	}
	if o.Link == 0 {
		o.Link = 100_000_000
	}
	if o.Rate == 0 {
		o.Rate = o.Link * 93 / 100
	}
	if o.Limit == 0 {
		o.Limit = 2 * time.Minute
	}
}

// Result is what a trial measured.
type Result struct {
	Options  Options
	Total    time.Duration
	Session  time.Duration // of griddle
	Sent     int64         // bytes that left the sender
	Sender   time.Duration // processor time of the sender
	Receiver time.Duration // processor time of a receiver, on the average
	Each     []Received    // in the order of receivers
}

// Received is the result of one receiver.
type Received struct {
	OK   bool          // its file is the one that was sent, byte for byte
	Took time.Duration // from the sender's start, or its own if it came late, to its end
	// of griddle: from the first datagram of data, or its own start if it came late, to its last byte
	Data time.Duration
	CPU  time.Duration
	Way  string // of griddle: which ways the bytes came
	Err  string
}

// Whole says whether every receiver got the file.
func (r Result) Whole() bool {
	return !slices.ContainsFunc(r.Each, func(x Received) bool { return !x.OK })
}

// Overhead is the bytes that the sender sent, divided by those of the file.
func (r Result) Overhead() float64 { return float64(r.Sent) / float64(r.Options.Size) }

// Ideal is the shortest possible time at the rate, if every lost datagram is sent once more.
func (r Result) Ideal() time.Duration {
	return time.Duration(
		float64(r.Options.Size) * 8 / float64(r.Options.Rate) / (1 - r.Options.Wire.Loss) * float64(time.Second))
}

// tool is one way to send a file to many.
type tool interface {
	// send starts the sender; what it returns waits for its end, and returns its processor time.
	send(ctx context.Context, t *trial) (wait func() (time.Duration, error), err error)
	// receive receives as receiver i until it has the file, whose path it returns.
	receive(ctx context.Context, t *trial, i int) (file string, r Received, err error)
}

// trial is one run.
type trial struct {
	o     Options
	bed   *testbed.Bed
	dir   string
	file  string
	begin time.Time

	mu    sync.Mutex
	first time.Time // of the first data
}

// Run makes a test bed, has the tool send a file of random bytes to every receiver, compares what they got, and
// deletes everything. A receiver that fails is part of the result, not an error.
func Run(ctx context.Context, o Options) (Result, error) {
	o.defaults()
	res := Result{Options: o}
	var tl tool
	switch o.Tool {
	case "griddle":
		tl = &ours{}
	case "udpcast":
		tl = udpcast{}
	case "uftp":
		tl = uftp{}
	case "http":
		tl = &web{}
	default:
		return res, fmt.Errorf("starting a trial: %q is not one of griddle, udpcast, uftp and http", o.Tool)
	}
	dir, err := os.MkdirTemp(o.Dir, "griddle-trial-")
	if err != nil {
		return res, fmt.Errorf("starting a trial: %w", err)
	}
	defer os.RemoveAll(dir)
	t := &trial{o: o, dir: dir, file: filepath.Join(dir, "file")}
	sum, err := writeRandom(t.file, o.Size)
	if err != nil {
		return res, fmt.Errorf("starting a trial: %w", err)
	}
	if t.bed, err = testbed.Open(ctx, testbed.Options{Receivers: o.Receivers, Rate: o.Link}); err != nil {
		return res, err
	}
	defer t.bed.Close()
	for i, h := range t.bed.Receivers {
		w := o.Wire
		if i == o.Receivers-1 && o.Slow > 0 {
			w.Rate = o.Slow
		}
		if err := h.Wire(ctx, w); err != nil {
			return res, err
		}
	}
	err = t.run(ctx, tl, sum, &res)
	return res, err
}

func (t *trial) run(ctx context.Context, tl tool, sum string, res *Result) error {
	ctx, cancel := context.WithTimeout(ctx, t.o.Limit)
	defer cancel()
	before, err := t.bed.Sender.Sent()
	if err != nil {
		return err
	}
	t.begin = time.Now()
	wait, err := tl.send(ctx, t)
	if err != nil {
		return fmt.Errorf("starting the sender of %s: %w", t.o.Tool, err)
	}
	res.Each = make([]Received, t.o.Receivers)
	var wg sync.WaitGroup
	for i := range t.o.Receivers {
		wg.Go(func() {
			start := t.begin
			if i == t.o.Receivers-1 && t.o.Late > 0 {
				time.Sleep(time.Duration(t.o.Late * float64(t.o.Size) * 8 / float64(t.o.Rate) * float64(time.Second)))
				start = time.Now()
			}
			file, r, err := tl.receive(ctx, t, i)
			r.Took = time.Since(start)
			if err == nil {
				var got string
				if got, err = hashFile(file); err == nil && got != sum {
					err = errors.New("its file has other bytes")
				}
			}
			r.OK = err == nil
			if err != nil {
				r.Err = err.Error()
			}
			_ = os.Remove(file)
			res.Each[i] = r
		})
	}
	wg.Wait()
	res.Total = time.Since(t.begin)
	after, err := t.bed.Sender.Sent()
	if err != nil {
		return err
	}
	res.Sent = after - before
	var cpu time.Duration
	for _, r := range res.Each {
		cpu += r.CPU
		res.Session = max(res.Session, r.Data)
	}
	res.Receiver = cpu / time.Duration(len(res.Each))
	cancel() // a sender that lingers for late receivers has done its work
	res.Sender, err = wait()
	return err
}

func writeRandom(path string, n int64) (sum string, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{9}), n)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
