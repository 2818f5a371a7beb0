package machinetest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// Line is one line of a Transcript, without control sequences.
type Line struct {
	At   time.Duration // when it began, since the transcript began
	Text string
}

// Transcript is what a program, or a machine on its serial line, said, line by line.
type Transcript struct {
	Name  string
	begun time.Time

	mu      sync.Mutex
	lines   []Line        // the last one may still be growing
	raw     []byte        // of the line that is growing
	from    int           // where the next Wait begins
	changed chan struct{} // closed at each change
	ended   error         // why nothing more will come
}

// NewTranscript returns an empty transcript; errors call the program by name.
func NewTranscript(name string) *Transcript {
	return &Transcript{Name: name, begun: time.Now(), changed: make(chan struct{}), lines: make([]Line, 1)}
}

// Write adds to the transcript. It never fails.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range p {
		if len(t.raw) == 0 {
			t.lines[len(t.lines)-1].At = time.Since(t.begun)
		}
		if c == '\n' || c == '\r' {
			if len(t.raw) > 0 {
				t.lines[len(t.lines)-1].Text = ansi.Strip(string(t.raw))
				t.lines = append(t.lines, Line{})
				t.raw = t.raw[:0]
			}
			continue
		}
		t.raw = append(t.raw, c)
	}
	if len(t.raw) > 0 {
		t.lines[len(t.lines)-1].Text = ansi.Strip(string(t.raw))
	}
	t.wake()
	return len(p), nil
}

// End says why nothing more will come.
func (t *Transcript) End(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = why
	t.wake()
}

// Ended returns why nothing more will come; nil while the output continues.
func (t *Transcript) Ended() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

func (t *Transcript) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// Wait returns the first line that matches the regular expression, from behind the line that the last Wait found.
// A line counts while it still grows, so that prompts are found. When ctx or the output ends first, the error ends
// with the last lines.
func (t *Transcript) Wait(ctx context.Context, pattern string) (Line, error) {
	return t.wait(ctx, pattern, 0)
}

// WaitWhole is Wait for a line that has ended: for one whose rest matters too.
func (t *Transcript) WaitWhole(ctx context.Context, pattern string) (Line, error) {
	return t.wait(ctx, pattern, 1)
}

// wait looks at all lines but the last ones, which grow; once the output has ended, at all.
func (t *Transcript) wait(ctx context.Context, pattern string, growing int) (Line, error) {
	re := regexp.MustCompile(pattern)
	next := -1
	for {
		t.mu.Lock()
		if next < 0 {
			next = t.from
		}
		if t.ended != nil {
			growing = 0
		}
		for ; next < len(t.lines)-growing; next++ {
			if l := t.lines[next]; re.MatchString(l.Text) {
				t.from = next + 1
				t.mu.Unlock()
				return l, nil
			}
		}
		next = max(0, len(t.lines)-1) // the growing one again
		next = max(next, t.from)
		changed, ended := t.changed, t.ended
		t.mu.Unlock()
		if ended != nil {
			return Line{}, fmt.Errorf("waiting for %q of %s: %w; it said last:\n%s", pattern, t.Name, ended, t.Tail(15))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Line{}, fmt.Errorf("waiting for %q of %s: %w; it said last:\n%s", pattern, t.Name,
				ctx.Err(), t.Tail(15))
		}
	}
}

// Tail returns the last n lines.
func (t *Transcript) Tail(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines[max(0, len(t.lines)-n):] {
		fmt.Fprintf(&b, "\t%7.1fs %s\n", l.At.Seconds(), l.Text)
	}
	return b.String()
}

// Text returns all lines until now.
func (t *Transcript) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines {
		fmt.Fprintln(&b, l.Text)
	}
	return b.String()
}

// Collect returns the lines from behind the last Wait to before the first one that matches.
func (t *Transcript) Collect(ctx context.Context, pattern string) (string, error) {
	t.mu.Lock()
	from := t.from
	t.mu.Unlock()
	if _, err := t.Wait(ctx, pattern); err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, l := range t.lines[from : t.from-1] {
		fmt.Fprintln(&b, l.Text)
	}
	return b.String(), nil
}

// Count is the number of lines of the whole transcript that match.
func (t *Transcript) Count(pattern string) int {
	re := regexp.MustCompile(pattern)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, l := range t.lines {
		if re.MatchString(l.Text) {
			n++
		}
	}
	return n
}

// WaitCount waits until n lines of the whole transcript match. Unlike Wait it may be called from several goroutines.
func (t *Transcript) WaitCount(ctx context.Context, pattern string, n int) error {
	for {
		t.mu.Lock()
		changed, ended := t.changed, t.ended
		t.mu.Unlock()
		if t.Count(pattern) >= n {
			return nil
		}
		if ended != nil {
			return fmt.Errorf("waiting for %q of %s, for the %d. time: %w; it said last:\n%s", pattern, t.Name,
				n, ended, t.Tail(15))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q of %s, for the %d. time: %w; it said last:\n%s", pattern, t.Name, n,
				ctx.Err(), t.Tail(15))
		}
	}
}
