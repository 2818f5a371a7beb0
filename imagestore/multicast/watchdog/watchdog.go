// Package watchdog reads from sources that may hang: a source that sends nothing for a while fails with an error that
// says so.
//
// Open reads a range of a blob; Do makes one short call.
//
// Only the time in which the caller waits for the source counts. A caller may take any time between two reads.
package watchdog

import (
	"context"
	"fmt"
	"io"
	"time"

	"griddle/imagestore/blob"
)

const (
	// Silence is how long a source may send nothing while it is read.
	Silence = 15 * time.Second
	// AnswerTime is how long a source may take for a short call.
	AnswerTime = 30 * time.Second
)

var (
	errSilent   = fmt.Errorf("nothing came for %v", Silence)
	errNoAnswer = fmt.Errorf("nothing came for %v", AnswerTime)
)

// Open opens n bytes of a blob from off on, as blob.Reader has it. Open and each Read fail if nothing comes for
// Silence.
func Open(ctx context.Context, src blob.Reader, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(Silence, func() { cancel(errSilent) })
	rc, err := src.Open(ctx, d, off, n)
	timer.Stop() // until the first Read
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		return nil, err
	}
	return &body{rc, ctx, cancel, timer}, nil
}

// body is what a source sends.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(Silence)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = cause(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// Do calls f, which must return when its context ends; that is after AnswerTime at the latest.
func Do(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, AnswerTime, errNoAnswer)
	defer cancel()
	if err := f(ctx); err != nil {
		return cause(ctx, err)
	}
	return nil
}

// cause is why ctx ended, or err if it did not.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
