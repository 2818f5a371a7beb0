package console

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/quota"
)

// clock is a Hub with a clock that the test moves.
func clock(t *testing.T) (*Hub, *time.Time) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	return New(Options{Now: func() time.Time { return now }, Typed: func(string, string, string) {}}), &now
}

func frameOf(number uint64, whole bool, text string) job.ScreenFrame {
	return job.ScreenFrame{Number: number, Columns: 80, Rows: 24, Whole: whole,
		Lines: []job.ScreenLine{{Row: 3, Runs: []job.ScreenRun{{Text: text}}}}}
}

// news is what is new at once.
func news(t *testing.T, w *Watching) News { return w.Next(t.Context(), time.Millisecond) }

func TestWatch(t *testing.T) {
	h, now := clock(t)
	boot := Boot{ID: "b1", Shows: true, Approved: true}
	if h.Hello("m", boot) || h.Watched("m") || h.Reported("m", "b1", true) {
		t.Error("a machine that no one watches is to send its screen")
	}
	if w, err := h.Take("m", "b1", frameOf(1, true, "x")); err != nil || w.Watched {
		t.Errorf("Take() = %+v, %v", w, err)
	}
	w, err := h.Watch("m", "ada", 100, 30)
	if err != nil {
		t.Fatal(err)
	}
	if n := news(t, w); n.Status == nil || n.Status.Phase != Waits || n.Frame != nil {
		t.Errorf("at first there is %+v", n)
	}
	if !h.Hello("m", boot) {
		t.Error("the machine is not asked for its screen")
	}
	got, err := h.Take("m", "b1", frameOf(1, true, "first\x1b[2J"))
	if err != nil || !got.Watched || got.Columns != 100 || got.Rows != 30 {
		t.Errorf("Take() = %+v, %v", got, err)
	}
	n := news(t, w)
	if n.Status == nil || *n.Status != (Status{Shown, true}) || n.Frame == nil || !n.Frame.Whole ||
		n.Frame.Lines[3].Runs[0].Text != "first?[2J" {
		t.Errorf("then there is %+v %+v", n.Status, n.Frame)
	}
	if _, err := h.Take("m", "b1", frameOf(2, false, "soon")); !errors.Is(err, ErrBusy) {
		t.Errorf("a frame at once: %v", err)
	}
	// A slow operator skips pictures.
	for i := uint64(2); i < 10; i++ {
		*now = now.Add(time.Second)
		if _, err := h.Take("m", "b1", frameOf(i, false, strings.Repeat("x", int(i)))); err != nil {
			t.Fatal(err)
		}
	}
	if n := news(t, w); n.Frame == nil || n.Frame.Whole || len(n.Frame.Lines) != 1 ||
		n.Frame.Lines[0].Runs[0].Text != "xxxxxxxxx" || n.Frame.Number != 9 {
		t.Errorf("after 8 frames there is %+v", n.Frame)
	}
	*now = now.Add(time.Second)
	if got, err := h.Take("m", "b1", frameOf(12, false, "a gap")); err != nil || !got.Whole {
		t.Errorf("a frame after a gap: %+v, %v", got, err)
	}
	*now = now.Add(time.Minute)
	if n := news(t, w); n.Status == nil || n.Status.Phase != Quiet {
		t.Errorf("of a silent machine there is %+v", n.Status)
	}
	if err := h.Type("m", []job.ScreenKey{{Name: "enter"}}); !errors.Is(err, ErrNoKeys) {
		t.Errorf("keys for a silent machine: %v", err)
	}
	w.Close()
	if h.Watched("m") || len(h.machines) != 0 || h.quota.Held() != (quota.Amount{}) {
		t.Error("something is kept of a machine that no one watches")
	}
}

// TestOtherBoots: another boot's picture is not shown as that of this one, and it gets none of its keys.
func TestOtherBoots(t *testing.T) {
	h, now := clock(t)
	w, err := h.Watch("m", "ada", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	h.Hello("m", Boot{ID: "b1", Shows: true})
	if _, err := h.Take("m", "b1", frameOf(1, true, "of b1")); err != nil {
		t.Fatal(err)
	}
	if err := h.Type("m", []job.ScreenKey{{Text: "secret"}}); err != nil {
		t.Fatal(err)
	}
	for _, machine := range []string{"other", "m"} {
		if k := h.Keys(t.Context(), machine, "b2", 0, time.Millisecond); k.Watched || k.Keys != nil {
			t.Errorf("b2 of %s gets %+v", machine, k)
		}
		if got, err := h.Take(machine, "b2", frameOf(1, true, "of b2")); err != nil || got.Watched {
			t.Errorf("b2 of %s shows its screen: %+v, %v", machine, got, err)
		}
	}
	h.Hello("m", Boot{ID: "b2", Shows: true})
	if k := h.Keys(t.Context(), "m", "b2", 0, time.Millisecond); !k.Watched || len(k.Keys) > 0 {
		t.Errorf("after its hello b2 gets %+v", k)
	}
	if n := news(t, w); n.Frame != nil || n.Status == nil || n.Status.Phase != Waits {
		t.Errorf("of b2 there is %+v", n)
	}
	for _, c := range []struct {
		boot Boot
		want Phase
	}{{Boot{ID: "b3", Shows: true, Waiting: true}, Approval}, {Boot{ID: "b4"}, Old}} {
		if h.Hello("m", c.boot) {
			t.Errorf("%+v is asked for its screen", c.boot)
		}
		*now = now.Add(time.Second)
		if got, err := h.Take("m", c.boot.ID, frameOf(1, true, "x")); err != nil || got.Watched {
			t.Errorf("%+v shows its screen: %+v, %v", c.boot, got, err)
		}
		if n := news(t, w); n.Status == nil || n.Status.Phase != c.want || n.Frame != nil {
			t.Errorf("of %+v there is %+v", c.boot, n)
		}
	}
	if h.Reported("m", "b4", false) || h.Reported("m", "b1", true) {
		t.Error("boots that are not shown are asked for their screens")
	}
}

// TestKeys: each key comes once, in order, and the queue is bounded.
func TestKeys(t *testing.T) {
	h, _ := clock(t)
	w, err := h.Watch("m", "ada", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	h.Reported("m", "b1", false)
	if _, err := h.Take("m", "b1", frameOf(1, true, "x")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]job.ScreenKey{nil, {{Name: "f1"}}, {{Text: "\x1b"}}, make([]job.ScreenKey, 65)} {
		if err := h.Type("m", bad); !errors.Is(err, ErrKey) {
			t.Errorf("Type(%v) = %v", bad, err)
		}
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		_ = h.Type("m", []job.ScreenKey{{Text: "a"}, {Name: "enter"}})
	}()
	got := h.Keys(t.Context(), "m", "b1", 0, time.Minute)
	if !got.Watched || got.Last != 2 || len(got.Keys) != 2 || got.Keys[1].Name != "enter" {
		t.Errorf("Keys() = %+v", got)
	}
	if again := h.Keys(t.Context(), "m", "b1", 0, time.Minute); len(again.Keys) != 2 {
		t.Errorf("an answer that was lost is not given again: %+v", again)
	}
	if after := h.Keys(t.Context(), "m", "b1", 2, time.Millisecond); !after.Watched || len(after.Keys) != 0 {
		t.Errorf("after the last there is %+v", after)
	}
	for err = nil; err == nil; {
		err = h.Type("m", make64())
	}
	if !errors.Is(err, ErrFull) || len(h.machines["m"].keys) > MaxQueue {
		t.Errorf("the queue has %d keys, %v", len(h.machines["m"].keys), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if k := h.Keys(gone, "m", "b1", 1<<60, time.Minute); k.Last != h.machines["m"].last {
		t.Errorf("a number that never was: %+v", k)
	}
}

func make64() []job.ScreenKey {
	out := make([]job.ScreenKey, job.MaxScreenKeys)
	for i := range out {
		out[i] = job.ScreenKey{Name: "down"}
	}
	return out
}

func TestWatchersAreBounded(t *testing.T) {
	h, _ := clock(t)
	var all []*Watching
	for i := range 100 {
		w, err := h.Watch(string(rune('a'+i)), string(rune('A'+i/5)), 0, 0)
		if err != nil {
			if !errors.Is(err, quota.ErrFull) {
				t.Fatal(err)
			}
			break
		}
		all = append(all, w)
	}
	if len(all) != MaxWatchers {
		t.Errorf("%d watch", len(all))
	}
	for _, w := range all {
		w.Close()
	}
}

func TestTally(t *testing.T) {
	h, now := clock(t)
	if !h.Begins("m", "ada") || h.Begins("m", "ada") || !h.Begins("m", "bob") {
		t.Error("who begins to watch is not news, or is news twice")
	}
	*now = now.Add(again)
	if !h.Begins("m", "ada") {
		t.Error("who watches again is not news")
	}
	keys := []job.ScreenKey{{Text: "hunter2"}, {Name: "enter"}, {Text: "ü"}, {Name: "enter"}}
	if !h.Tally("m", "ada", keys) || h.Tally("m", "ada", keys) {
		t.Error("the first keys are not the first ones")
	}
	if got := Kinds(keys); got != "8 characters, 2 enter" {
		t.Errorf("Kinds() = %q", got)
	}
}
