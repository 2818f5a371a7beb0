package build

import (
	"context"
	"fmt"
	"sync"
	"time"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/definition"
)

// buildProgress shows a person what a build does: a line when something begins or ends, a bar where bytes are counted,
// and a line every few seconds where they are not.
type buildProgress struct {
	bar *cli.Phases // takes the lines too

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

// bytes reports how a part proceeds. The bar, or its lines, say enough while they change.
func (p *buildProgress) bytes(part string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = time.Now()
	p.bar.Update(part, done, total)
}

func (p *buildProgress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = time.Now()
	fmt.Fprintln(p.bar, line)
}

func (p *buildProgress) set(step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.begun, p.said = step, time.Now(), time.Now()
	if step != "" {
		fmt.Fprintln(p.bar, step+" ...")
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
				fmt.Fprintf(p.bar, "%s ... %d s\n", p.step, int(now.Sub(p.begun).Seconds()))
			}
			p.mu.Unlock()
		}
	}
}
