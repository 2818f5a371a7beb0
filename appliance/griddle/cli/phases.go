package cli

import (
	"fmt"
	"sync"
)

// Phases shows a Progress for each phase of some work, and the lines that are written to it between them. Several
// goroutines may use it.
type Phases struct {
	e *Env

	mu    sync.Mutex
	phase string
	bar   *Progress // of the phase
}

// Phases begins one, with nothing shown. Work is done between this and End.
func (e *Env) Phases() *Phases { return &Phases{e: e} }

// Update reports that done bytes of total are done in a phase; total is zero while it is not known.
func (p *Phases) Update(phase string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase != p.phase {
		p.bar.End()
		p.bar, p.phase = p.e.Progress(phase), phase
	}
	p.bar.Update(done, total)
}

// Write writes whole lines to standard error, where the bar is. It implements io.Writer.
func (p *Phases) Write(lines []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.End()
	return p.e.Stderr.Write(lines)
}

// Warn is Env.Warn while a bar may be shown.
func (p *Phases) Warn(sentence string) {
	if !p.e.Out.Quiet {
		fmt.Fprintf(p, "griddle: warning: %s\n", sentence)
	}
}

// End removes the bar. The next phase begins another one.
func (p *Phases) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.End()
	p.bar, p.phase = nil, ""
}
