package disk

import (
	"context"
	"time"

	"griddle/initramfs/disk/content"
)

const (
	factsWait  = 15 * time.Second // that Scan waits for the facts of one disk
	factsLimit = 10 * time.Minute // that they may take: an NTFS with many files on a hard disk
	maxFacts   = 32               // partitions of one disk that are asked about
)

// extent is which partition a fact is about.
type extent struct {
	number      int
	start, size int64
}

// learning is what is asked about the partitions of one disk that was in state.
type learning struct {
	state string
	stop  context.CancelFunc
	done  chan struct{} // closed at the end, also if it was stopped
	facts map[extent]content.Facts
}

// learn adds to the partitions of d what Facts says. It asks once until the kernel counts a write to the disk, and
// waits for factsWait: what takes longer continues, and is in a later list.
func (s *Scanner) learn(ctx context.Context, d *Disk, state string) {
	if s.Facts == nil || d.ReadOnly || len(d.Partitions) == 0 {
		return
	}
	s.mu.Lock()
	l := s.learned[d.Name]
	if l == nil || l.state != state || state == "" {
		if l != nil {
			l.stop()
		}
		l = s.ask(ctx, *d, state)
	}
	s.mu.Unlock()
	limit := time.NewTimer(factsWait)
	defer limit.Stop()
	select {
	case <-l.done:
	case <-limit.C:
	case <-ctx.Done():
	}
	if state == "" {
		l.stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range d.Partitions {
		p := &d.Partitions[i]
		p.Facts = l.facts[extent{p.Number, p.Start, p.Size}]
	}
}

// ask begins to ask about the partitions of d. It outlives ctx: only Rest, or another state of the disk, stops it.
func (s *Scanner) ask(ctx context.Context, d Disk, state string) *learning {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), factsLimit)
	l := &learning{state: state, stop: stop, done: make(chan struct{}), facts: map[extent]content.Facts{}}
	s.learned[d.Name] = l
	parts := append([]content.Partition(nil), d.Partitions[:min(len(d.Partitions), maxFacts)]...)
	go func() {
		defer close(l.done)
		defer stop()
		for _, p := range parts {
			facts := s.Facts(ctx, d.Path, p)
			if ctx.Err() != nil {
				break
			}
			s.mu.Lock()
			l.facts[extent{p.Number, p.Start, p.Size}] = facts
			s.mu.Unlock()
		}
	}()
	return l
}

// Rest stops what is still asked about partitions, and waits until it has ended or ctx ends: a disk that is about to be
// changed must not be in use. The next Scan asks again.
func (s *Scanner) Rest(ctx context.Context) {
	s.mu.Lock()
	var running []*learning
	for name, l := range s.learned {
		select {
		case <-l.done:
		default:
			l.stop()
			running = append(running, l)
			delete(s.learned, name)
		}
	}
	s.mu.Unlock()
	for _, l := range running {
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

// Settle waits until all that was asked about partitions is known, or ctx ends. It says whether something was not: then
// the next Scan knows more than the last one.
func (s *Scanner) Settle(ctx context.Context) bool {
	s.mu.Lock()
	var running []*learning
	for _, l := range s.learned {
		select {
		case <-l.done:
		default:
			running = append(running, l)
		}
	}
	s.mu.Unlock()
	for _, l := range running {
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
	return len(running) > 0
}
