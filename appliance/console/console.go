// Package console relays the screens of machines to the operators who watch them, and their keys back.
//
// Make a Hub. Watch begins to watch a machine; Watching.Next returns what is new. Hello and Reported say what a boot
// of a machine did, and whether it is to send its screen; Take takes a frame of it, Keys waits for keys, and Type gives
// keys of an operator to it.
//
//	operator --Watch/Next--> Hub <--Take--  machine
//	         --Type-------->     <--Keys--
//
// All is in memory. The Hub keeps state only of machines that someone watches: at most MaxWatchers of them, for each
// the last picture (500 KB at most) and MaxQueue keys. An operator who is slow skips pictures. Keys are for the boot
// that was shown when they were typed, and no other boot gets them.
//
// What a machine sends is hostile. A frame is bounded (job.ScreenFrame.Bounded), and one that comes too soon after
// another is refused.
//
// All methods may be called from several goroutines.
package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// Limits of a Hub.
const (
	MaxWatchers = 32 // operators who watch, of all machines
	maxEach     = 8  // of one operator
	MaxQueue    = 256
	least       = 50 * time.Millisecond // between two frames of a machine
	Silent      = 20 * time.Second      // a machine that sends nothing for so long has stopped
)

// Errors.
var (
	ErrFrame  = errors.New("the picture of a screen is not valid")
	ErrBusy   = errors.New("the machine has sent too many pictures of its screen")
	ErrKey    = errors.New("keys are not valid")
	ErrNoKeys = errors.New("the machine takes no keys: its screen is not shown now")
	ErrFull   = errors.New("the machine has not taken earlier keys yet")
)

// Phase is whether a screen is shown.
type Phase string

// The phases.
const (
	Waits    Phase = "waiting"  // the agent has not called since
	Shown    Phase = "shown"    // pictures come
	Old      Phase = "old"      // its agent cannot
	Approval Phase = "approval" // an operator has to approve the boot first, in front of it
	Quiet    Phase = "silent"   // it has sent nothing for a while
)

// Status is what an operator should know of a screen.
type Status struct {
	Phase    Phase `json:"phase"`
	Approved bool  `json:"approved"` // an operator approved the key of the boot
}

// Boot is a boot of a machine as it said hello.
type Boot struct {
	ID       string
	Shows    bool // its agent has job.FeatureScreen
	Waiting  bool // an operator has to approve it
	Approved bool
}

// Hub is the screens that are watched.
type Hub struct {
	o     Options
	quota *quota.Quota

	mu       sync.Mutex
	machines map[string]*screen // by Machine.ID
	begun    map[pair]time.Time
	typed    map[pair]map[string]int
}

// Options are what a Hub needs.
type Options struct {
	Now   func() time.Time
	Typed func(machine, who, what string) // is called with how many keys of which kinds an operator typed
}

// screen is that of one machine.
type screen struct {
	watchers map[*Watching]bool
	boot     Boot
	picture  job.ScreenPicture
	taken    time.Time // the last frame
	blind    bool      // what is shown is not the present picture: the next frame has to be whole

	last uint64 // number of the last key
	keys []job.ScreenKey

	wake chan struct{} // closed and replaced when something changes
}

// New makes a Hub.
func New(o Options) *Hub {
	return &Hub{o: o, machines: map[string]*screen{}, begun: map[pair]time.Time{},
		typed: map[pair]map[string]int{}, quota: quota.New(quota.Options{What: "screens of machines",
			Total: quota.Amount{Slots: MaxWatchers}, Each: quota.Amount{Slots: maxEach}})}
}

func (s *screen) changed() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// status is what there is to know.
func (s *screen) status(now time.Time) Status {
	out := Status{Phase: Waits, Approved: s.boot.Approved}
	switch {
	case s.boot.ID == "":
	case s.boot.Waiting:
		out.Phase = Approval
	case !s.boot.Shows:
		out.Phase = Old
	case s.taken.IsZero():
	case now.Sub(s.taken) > Silent:
		out.Phase = Quiet
	default:
		out.Phase = Shown
	}
	return out
}

// Watching is one operator who watches one machine.
type Watching struct {
	hub           *Hub
	machine       string
	screen        *screen
	hold          *quota.Hold
	columns, rows int

	seen   job.ScreenPicture // by the operator
	status Status
	begun  bool
}

// Watch begins to watch the machine with an ID, on a terminal of this size; who is the operator. The caller calls
// Close. The error wraps quota.ErrFull where too many watch.
func (h *Hub) Watch(machine, who string, columns, rows int) (*Watching, error) {
	hold, err := h.quota.Take(who, true, 0)
	if err != nil {
		return nil, err
	}
	clamp := func(n, least, most, usual int) int {
		if n <= 0 {
			return usual
		}
		return min(max(n, least), most)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.machines[machine]
	if s == nil {
		s = &screen{watchers: map[*Watching]bool{}, wake: make(chan struct{})}
		h.machines[machine] = s
	}
	w := &Watching{hub: h, machine: machine, screen: s, hold: hold,
		columns: clamp(columns, job.LeastScreenColumns, job.MaxScreenColumns, job.ScreenColumns),
		rows:    clamp(rows, job.LeastScreenRows, job.MaxScreenRows, job.ScreenRows)}
	s.watchers[w] = true
	return w, nil
}

// Close ends it. Of a machine that no one watches any more, nothing is kept.
func (w *Watching) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.screen.watchers, w)
	if len(w.screen.watchers) == 0 && w.hub.machines[w.machine] == w.screen {
		delete(w.hub.machines, w.machine)
	}
	w.screen.changed()
	w.hold.Release()
}

// News is what is new since the last one: another status, a frame, or neither if the time was over.
type News struct {
	Status *Status
	Frame  *job.ScreenFrame
}

// Next waits for news until ctx ends or limit has passed. Only one goroutine may call it.
func (w *Watching) Next(ctx context.Context, limit time.Duration) News {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		w.hub.mu.Lock()
		now, picture, wake := w.screen.status(w.hub.o.Now()), w.screen.picture, w.screen.wake
		w.hub.mu.Unlock()
		var n News
		if !w.begun || now != w.status {
			w.begun, w.status, n.Status = true, now, &now
		}
		if picture.Number > 0 && (now.Phase == Shown || now.Phase == Quiet) && picture.Number != w.seen.Number {
			f := picture.Frame(w.seen)
			w.seen, n.Frame = picture, &f
		}
		if n != (News{}) {
			return n
		}
		select {
		case <-ctx.Done():
			return n
		case <-over.C:
			return n
		case <-wake:
		}
	}
}

// Hello notes that a boot of a machine said hello, and says whether it is to send its screen. Another boot gets none of
// the keys of the one before, and its picture is not shown as that of this one.
func (h *Hub) Hello(machine string, b Boot) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.machines[machine]
	if s == nil {
		return false
	}
	if s.boot.ID != b.ID {
		s.keys, s.picture, s.taken, s.blind = nil, job.ScreenPicture{}, time.Time{}, true
	}
	if s.boot != b {
		s.boot = b
		s.changed()
	}
	return b.Shows && !b.Waiting
}

// Reported notes that a boot of a machine reported events, and says whether it is to send its screen. It tells a boot
// that said hello before someone watched.
func (h *Hub) Reported(machine, boot string, approved bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.machines[machine]
	if s == nil {
		return false
	}
	if s.boot.ID == "" || s.boot.ID == boot && s.boot.Waiting && approved {
		s.boot = Boot{ID: boot, Shows: true, Approved: approved} // an agent that does not know Screen ignores it
		s.changed()
	}
	return s.boot.ID == boot && s.boot.Shows && !s.boot.Waiting
}

// shown is the screen of a machine if a boot is the one that shows it.
func (h *Hub) shown(machine, boot string) *screen {
	if s := h.machines[machine]; s != nil && s.boot.ID == boot && boot != "" && s.boot.Shows && !s.boot.Waiting {
		return s
	}
	return nil
}

// Take takes a frame of a boot. The error is ErrBusy, or what is wrong with the frame.
func (h *Hub) Take(machine, boot string, f job.ScreenFrame) (out job.ScreenWatch, err error) {
	if f, err = f.Bounded(); err != nil {
		return out, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shown(machine, boot)
	if s == nil {
		return out, nil
	}
	now := h.o.Now()
	if since := now.Sub(s.taken); since >= 0 && since < least {
		return out, ErrBusy
	}
	s.taken = now
	out = job.ScreenWatch{Watched: true}
	out.Columns, out.Rows = s.size()
	next, ok := s.picture.Put(f)
	if !ok || s.blind && !f.Whole || s.picture.Number == 0 && !f.Whole {
		s.blind, out.Whole = true, true
		return out, nil
	}
	if f.Number <= s.picture.Number && f.Whole && s.picture.Number > 0 {
		next.Number = s.picture.Number + 1 // operators know pictures by their numbers
	}
	s.picture, s.blind = next, false
	s.changed()
	return out, nil
}

// size is that of the smallest terminal on which the screen is watched.
func (s *screen) size() (columns, rows int) {
	columns, rows = job.MaxScreenColumns, job.MaxScreenRows
	for w := range s.watchers {
		columns, rows = min(columns, w.columns), min(rows, w.rows)
	}
	return columns, rows
}

// Type gives keys to the boot that is shown, and says whether it can.
func (h *Hub) Type(machine string, keys []job.ScreenKey) error {
	if len(keys) == 0 || len(keys) > job.MaxScreenKeys {
		return fmt.Errorf("%w: 1 to %d are needed, and these are %d", ErrKey, job.MaxScreenKeys, len(keys))
	}
	for i, k := range keys {
		if err := k.Check(); err != nil {
			return fmt.Errorf("%w: key %d: %w", ErrKey, i+1, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.machines[machine]
	if s == nil || s.status(h.o.Now()).Phase != Shown {
		return ErrNoKeys
	}
	if len(s.keys)+len(keys) > MaxQueue {
		return ErrFull
	}
	s.keys = append(s.keys, keys...)
	s.last += uint64(len(keys))
	s.changed()
	return nil
}

// Watched says whether someone watches a machine.
func (h *Hub) Watched(machine string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machines[machine] != nil
}

// Takes says whether the screen of a machine is shown, so that it takes keys.
func (h *Hub) Takes(machine string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.machines[machine]
	return s != nil && s.status(h.o.Now()).Phase == Shown
}

// Keys waits for keys with numbers after after, at most limit.
func (h *Hub) Keys(ctx context.Context, machine, boot string, after uint64, limit time.Duration) job.ScreenKeys {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		h.mu.Lock()
		s := h.shown(machine, boot)
		if s == nil {
			h.mu.Unlock()
			return job.ScreenKeys{}
		}
		first := s.last - uint64(len(s.keys)) // the number before the first of s.keys
		if after >= first && after <= s.last {
			s.keys = s.keys[after-first:]
		}
		out, wake := job.ScreenKeys{Watched: true, Last: s.last, Keys: s.keys[:len(s.keys):len(s.keys)]}, s.wake
		h.mu.Unlock()
		if len(out.Keys) > 0 || after > out.Last {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-over.C:
			return out
		case <-wake:
		}
	}
}
