package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"griddle/appliance/job"
)

// Phases shows a bar for each phase of some work. done ends the last one.
func Phases(e *Env) (progressed func(phase string, done, total int64), done func()) {
	var bar *Progress
	var now string
	progressed = func(phase string, done, total int64) {
		if phase != now {
			bar.End()
			bar, now = NewProgress(e.Stderr, phase), phase
		}
		bar.Update(done, total)
	}
	return progressed, func() { bar.End() }
}

// Progress tells a person how far something is: on a terminal one line that is drawn anew, elsewhere a line now and
// then. A nil progress tells nothing.
type Progress struct {
	w     io.Writer
	live  bool
	meter meter

	mu    sync.Mutex
	drawn time.Time
	width int // of the line on the terminal
}

const (
	redraw      = 100 * time.Millisecond // between two drawings on a terminal
	ReportEvery = 5 * time.Second        // between two lines elsewhere
)

func NewProgress(w io.Writer, what string) *Progress {
	now := time.Now()
	return &Progress{w: w, live: IsTerminal(w), meter: meter{what: what, samples: []sample{{now, 0}}}, drawn: now}
}

// Update tells of done bytes out of total, which is zero while it is not known.
func (p *Progress) Update(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.meter.add(now, done, total)
	switch since := now.Sub(p.drawn); {
	case p.live && since >= redraw:
		line := p.meter.bar()
		fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
		p.width, p.drawn = len(line), now
	case !p.live && since >= ReportEvery:
		fmt.Fprintln(p.w, p.meter.words())
		p.drawn = now
	}
}

// End clears the line.
func (p *Progress) End() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// meter computes rate and time left.
type meter struct {
	what        string
	done, total int64
	samples     []sample // of the last seconds, the oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// rateSpan is how much of the past the rate is of.
const rateSpan = 5 * time.Second

func (m *meter) add(now time.Time, done, total int64) {
	if last := m.samples[len(m.samples)-1]; done < last.done {
		m.samples = m.samples[:0] // it was begun again, as the copy of a directory that changed meanwhile
	}
	m.done, m.total = done, total
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateSpan {
		m.samples = m.samples[1:]
	}
}

// rate is in bytes a second.
func (m *meter) rate() float64 {
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	if s := last.at.Sub(first.at).Seconds(); s > 0 {
		return float64(last.done-first.done) / s
	}
	return 0
}

// words is the line for a log.
func (m *meter) words() string {
	s := m.what + " " + job.Bytes(m.done)
	share := m.share()
	if share >= 0 {
		s = fmt.Sprintf("%s of about %s, %d %%", s, job.Bytes(m.total), int(share*100))
	}
	r := m.rate()
	s += fmt.Sprintf(", %s/s", job.Bytes(int64(r)))
	if share >= 0 && r > 0 {
		s += ", " + left(time.Duration(float64(m.total-m.done)/r*float64(time.Second))) + " left"
	}
	return s
}

// share is from 0 to 0.99, as the total is not exact; -1 where it is not known.
func (m *meter) share() float64 {
	if m.total <= 0 {
		return -1
	}
	return min(float64(m.done)/float64(m.total), 0.99)
}

// bar is the line for a terminal of 80 columns.
func (m *meter) bar() string {
	share := m.share()
	if share < 0 {
		return m.words()
	}
	const width = 20
	full := int(share * width)
	r := m.rate()
	s := fmt.Sprintf("%s [%s%s] %2d %%  %s  %s/s", m.what, strings.Repeat("#", full), strings.Repeat("-", width-full),
		int(share*100), job.Bytes(m.done), job.Bytes(int64(r)))
	if r > 0 {
		s += "  " + left(time.Duration(float64(max(0, m.total-m.done))/r*float64(time.Second))) + " left"
	}
	return s
}

// left rounds a time that remains to what a person wants to know of it.
func left(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.999))
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d h", int(d.Hours()), int(d.Minutes())%60)
}
