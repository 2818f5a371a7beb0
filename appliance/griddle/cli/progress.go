package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"griddle/appliance/job"
)

// Progress shows a person how work proceeds: on a terminal as one line with a bar, elsewhere as a line every few
// seconds. A nil Progress shows nothing.
type Progress struct {
	w     io.Writer
	meter meter

	mu    sync.Mutex
	live  *Live
	drawn time.Time
}

const (
	redraw      = 100 * time.Millisecond // between two drawings on a terminal
	ReportEvery = 5 * time.Second        // ReportEvery is the time between two lines elsewhere
)

// Progress starts one. It is nil, and shows nothing, where the result is for a program or --quiet is given.
func (e *Env) Progress(what string) *Progress {
	if !e.Notes() {
		return nil
	}
	now := time.Now()
	return &Progress{w: e.Stderr, live: NewLive(e.Stderr), meter: meter{what: what, samples: []sample{{now, 0}}},
		drawn: now}
}

// Update reports that done bytes of total are done; total is zero while it is not known.
func (p *Progress) Update(done, total int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.meter.add(now, done, total)
	switch since := now.Sub(p.drawn); {
	case p.live.On() && since >= redraw:
		p.live.Draw(p.meter.bar())
		p.drawn = now
	case !p.live.On() && since >= ReportEvery:
		fmt.Fprintln(p.w, p.meter.words())
		p.drawn = now
	}
}

// End removes the line.
func (p *Progress) End() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live.Clear()
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
		m.samples = m.samples[:0] // it started again, as the copy of a directory does that changed meanwhile
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
	r := m.rate()
	s := fmt.Sprintf("%s %s %2d %%  %s  %s/s", m.what, Bar(share), int(share*100), job.Bytes(m.done),
		job.Bytes(int64(r)))
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
