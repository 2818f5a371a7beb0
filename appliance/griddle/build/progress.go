package build

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/definition"
)

// buildProgress shows a person what a build does: a line when something begins or ends, and one every few seconds
// while it lasts.
type buildProgress struct {
	w io.Writer

	mu    sync.Mutex
	step  string // what is done now; "" for nothing
	begun time.Time
	said  time.Time
}

// definition reports how a definition's step ended.
func (p *buildProgress) definition(s definition.Step) {
	what := string(s.Kind) + " " + s.What
	if s.Output != "" {
		what = s.Output + ": " + what
	}
	switch {
	case s.Skipped:
		p.say(what + " was done before")
		p.set("")
	case s.State == definition.Started:
		p.set(what)
	case s.State == definition.Failed:
		p.say(what + " failed: " + s.Error)
		p.set("")
	default:
		p.say(fmt.Sprintf("%s done after %.1f s", what, s.Ended.Sub(s.Begun).Seconds()))
		p.set("")
	}
}

// part reports what a step does now.
func (p *buildProgress) part(step string) { p.set(step) }

func (p *buildProgress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = time.Now()
	fmt.Fprintln(p.w, line)
}

func (p *buildProgress) set(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.begun, p.said = step, time.Now(), time.Now()
	if step != "" {
		fmt.Fprintln(p.w, step+" ...")
	}
}

// run repeats what is being done while nothing else is said, until ctx ends.
func (p *buildProgress) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.mu.Lock()
			if p.step != "" && now.Sub(p.said) >= cli.ReportEvery {
				p.said = now
				fmt.Fprintf(p.w, "%s ... %d s\n", p.step, int(now.Sub(p.begun).Seconds()))
			}
			p.mu.Unlock()
		}
	}
}
