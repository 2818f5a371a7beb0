package order

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
)

var start = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func room(n int, l Limits) Order {
	o := Order{ID: "o1", Kind: job.Update, Created: start, Limits: l, State: Running}
	for i := range n {
		o.Machines = append(o.Machines, Machine{ID: fmt.Sprint("m", i), Name: fmt.Sprint("lab-", i), State: Waiting})
	}
	return o
}

// gives are the machines that actions give a job, without the letter.
func gives(todo []Action) (out []string) {
	for _, a := range todo {
		if a.Do == DoGive {
			out = append(out, a.Machine)
		}
	}
	return out
}

func give(t *testing.T, o Order, todo []Action, now time.Time) Order {
	t.Helper()
	for _, m := range gives(todo) {
		var err error
		if o, err = o.Give(m, "job of "+m, now); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// TestStep tells what limits do, in small rooms.
func TestStep(t *testing.T) {
	done, failed := Report{State: job.Done}, Report{State: job.Failed, Message: "no space"}
	t.Run("at most", func(t *testing.T) {
		o, todo := room(5, Limits{AtMost: 2}).Step(start, nil)
		if got := gives(todo); !slices.Equal(got, []string{"m0", "m1"}) {
			t.Fatalf("the first are %v", got)
		}
		o = give(t, o, todo, start)
		if _, err := o.Give("m2", "j", start); !errors.Is(err, ErrState) {
			t.Errorf("a third one at once: %v", err)
		}
		o, todo = o.Step(start, map[string]Report{"m0": done, "m1": {State: job.Started}})
		if got := gives(todo); !slices.Equal(got, []string{"m2"}) || o.Machines[0].State != Finished {
			t.Errorf("after one is done: %v, %+v", got, o.Machines[0])
		}
		o, todo = o.Step(start, map[string]Report{"m1": {State: job.Started, Parked: true}})
		if got := gives(todo); !slices.Equal(got, []string{"m2", "m3"}) || !o.Machines[1].Parked {
			t.Errorf("a parked one takes a place: %v", got)
		}
	})
	t.Run("pause", func(t *testing.T) {
		o, todo := room(3, Limits{Pause: 60}).Step(start, nil)
		o = give(t, o, todo, start)
		run := map[string]Report{"m0": {State: job.Pending}}
		_, early := o.Step(start.Add(59*time.Second), run)
		_, then := o.Step(start.Add(time.Minute), run)
		if len(todo) != 1 || len(early) != 0 || !slices.Equal(gives(then), []string{"m1"}) {
			t.Errorf("gives %v, then %v, then %v", todo, early, then)
		}
	})
	t.Run("holds in the first wave", func(t *testing.T) {
		// All five of the first wave are 5 percent of the room: a tenth of the room may not fail in it.
		o, todo := room(100, Limits{Waves: []int{5, 100}, Failures: "10%"}).Step(start, nil)
		o = give(t, o, todo, start)
		reports := map[string]Report{}
		for _, m := range gives(todo) {
			reports[m] = failed
		}
		o, todo = o.Step(start, reports)
		if len(reports) != 5 || len(todo) != 0 || o.State != Held || !strings.Contains(o.Why, "5 machines failed") {
			t.Fatalf("%d failed: %v, %s %q", len(reports), todo, o.State, o.Why)
		}
		o, err := o.Continue(start)
		if err != nil {
			t.Fatal(err)
		}
		if o, todo = o.Step(start, nil); o.State != Running || len(gives(todo)) != 95 {
			t.Errorf("continued: %s, %d jobs", o.State, len(todo))
		}
	})
	t.Run("silence", func(t *testing.T) {
		o, todo := room(1, Limits{Silence: 3600, Begin: 3600}).Step(start, nil)
		o = give(t, o, todo, start)
		at := start.Add(30 * time.Minute)
		run := map[string]Report{"m0": {State: job.Started, Heard: at}}
		if o, _ = o.Step(start.Add(time.Hour), run); o.Machines[0].State != Given {
			t.Errorf("heard of, and %+v", o.Machines[0])
		}
		o, _ = o.Step(at.Add(time.Hour), run)
		if m := o.Machines[0]; m.State != Failed || !m.Silent || o.State != Done {
			t.Errorf("silent: %+v, order %s", m, o.State)
		}
		if _, _, err := o.Retry(nil, at); !errors.Is(err, ErrState) {
			t.Errorf("a silent one got a second job: %v", err)
		}
		if _, _, err := o.Retry([]string{"LAB-0"}, at); err == nil || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("Retry() of a silent one: %v", err)
		}
		if o, _ = o.Step(at, map[string]Report{"m0": done}); o.Machines[0].State != Finished {
			t.Errorf("back again: %+v", o.Machines[0])
		}
	})
	t.Run("does not begin", func(t *testing.T) {
		o, todo := room(2, Limits{Begin: 3600, Failures: "0"}).Step(start, nil)
		o = give(t, o, todo, start)
		wait := map[string]Report{"m0": {State: job.Pending}, "m1": {State: job.Started, Heard: start}}
		o, todo = o.Step(start.Add(time.Hour), wait)
		if want := []Action{{DoTakeBack, "m0"}}; !slices.Equal(todo, want) {
			t.Fatalf("todo = %v", todo)
		}
		if o2, _ := o.Step(start.Add(time.Hour), map[string]Report{"m0": done, "m1": done}); o2.State != Done {
			t.Errorf("one that began meanwhile: %+v", o2)
		}
		o, err := o.TakeBack("m0", start)
		if m := o.Machines[0]; err != nil || m.State != Skipped || !strings.Contains(m.Why, "within 1h0m0s") {
			t.Errorf("%+v, %v", m, err)
		}
		if o, _ = o.Step(start, wait); o.State != Running {
			t.Errorf("a skipped one counts as failed: %s", o.Why)
		}
	})
	t.Run("cancel half-way", func(t *testing.T) {
		o, todo := room(3, Limits{AtMost: 2}).Step(start, nil)
		o = give(t, o, todo, start)
		o, err := o.Cancel(start)
		if err != nil {
			t.Fatal(err)
		}
		o, todo = o.Step(start, map[string]Report{"m0": {State: job.Pending}, "m1": {State: job.Started, Heard: start}})
		if want := []Action{{DoTakeBack, "m0"}}; !slices.Equal(todo, want) || o.Machines[2].State != MachineCancelled {
			t.Errorf("todo = %v, %+v", todo, o.Machines[2])
		}
		if o, err = o.TakeBack("m0", start); err != nil || o.Machines[0].State != MachineCancelled {
			t.Errorf("%+v, %v", o.Machines[0], err)
		}
		o, todo = o.Step(start, map[string]Report{"m1": failed})
		if o.State != Cancelled || o.Machines[1].State != Failed || len(todo) != 0 {
			t.Errorf("%s, %+v, %v", o.State, o.Machines[1], todo)
		}
		o, again, err := o.Retry([]string{"lab-1", "m2"}, start)
		if err != nil || len(again) != 2 || o.State != Running || o.Machines[0].State != MachineCancelled {
			t.Errorf("Retry() = %v, %v, %+v", again, err, o)
		}
	})
	t.Run("retries", func(t *testing.T) {
		o := room(1, Limits{Retries: 1, Failures: "0"})
		var todo []Action
		for _, want := range []MachineState{Waiting, Failed} {
			o, todo = o.Step(start, nil)
			o = give(t, o, todo, start)
			o, _ = o.Step(start, map[string]Report{"m0": failed})
			if o.Machines[0].State != want || !strings.Contains(o.Machines[0].Why, "no space") {
				t.Errorf("%+v, want %s", o.Machines[0], want)
			}
		}
		if o.State != Done {
			t.Errorf("the order is %s", o.State)
		}
	})
	t.Run("gone", func(t *testing.T) {
		o, todo := room(2, Limits{}).Step(start, map[string]Report{"m1": {Gone: true}})
		if o.Machines[1].State != Skipped || !slices.Equal(gives(todo), []string{"m0"}) {
			t.Errorf("%+v, %v", o.Machines[1], todo)
		}
		o = give(t, o, todo, start)
		if o, _ = o.Step(start, map[string]Report{"m0": {}}); o.Machines[0].State != Failed || o.State != Done {
			t.Errorf("without its job: %+v", o)
		}
	})
}

// TestCommands: what is refused in which state.
func TestCommands(t *testing.T) {
	o := room(1, Limits{})
	if _, err := o.Continue(start); !errors.Is(err, ErrState) {
		t.Errorf("Continue() of a running one = %v", err)
	}
	held, err := o.Hold("", start)
	if _, todo := held.Step(start, nil); err != nil || len(todo) != 0 || held.Why == "" {
		t.Errorf("held: %v, %v, %q", err, todo, held.Why)
	}
	if _, err := held.Give("m0", "j", start); !errors.Is(err, ErrState) {
		t.Errorf("Give() of a held one = %v", err)
	}
	if _, err := held.Hold("", start); !errors.Is(err, ErrState) {
		t.Errorf("Hold() of a held one = %v", err)
	}
	if _, err := o.Give("m7", "j", start); !errors.Is(err, ErrNotOne) {
		t.Errorf("Give() of another machine = %v", err)
	}
	if _, err := o.TakeBack("m0", start); !errors.Is(err, ErrState) {
		t.Errorf("TakeBack() of a waiting one = %v", err)
	}
	o, err = o.Refuse("m0", "it has another job", start)
	if err != nil || o.Machines[0].State != Skipped {
		t.Errorf("Refuse() = %+v, %v", o.Machines[0], err)
	}
	if o, _ = o.Step(start, nil); o.State != Done || o.Count() != (Counts{Skipped: 1}) {
		t.Errorf("%s, %+v", o.State, o.Count())
	}
	if _, err := o.Cancel(start); !errors.Is(err, ErrState) {
		t.Errorf("Cancel() of a done one = %v", err)
	}
	if _, _, err := o.Retry([]string{"m9"}, start); !errors.Is(err, ErrNotOne) {
		t.Errorf("Retry() of another machine = %v", err)
	}
}

// TestWaves: the shares are what they say, a small room has a first wave too, and orders differ.
func TestWaves(t *testing.T) {
	for n := 1; n <= 230; n++ {
		o := room(n, Limits{Waves: []int{5, 25, 100}})
		counts := make([]int, 3)
		for _, w := range o.Waves() {
			counts[w]++
		}
		a, b := (5*n+99)/100, (25*n+99)/100
		if want := []int{a, b - a, n - b}; !slices.Equal(counts, want) {
			t.Errorf("%d machines are %v, want %v", n, counts, want)
		}
	}
	a, b := room(100, Limits{Waves: []int{5, 100}}), room(100, Limits{Waves: []int{5, 100}})
	b.ID = "o2"
	if slices.Equal(a.Waves(), b.Waves()) {
		t.Error("two orders have the same first machines")
	}
}

// world is what machines do with the jobs of an order.
type world struct {
	r    *rand.Rand
	jobs map[string]*Report // by machine
	had  map[string]int
}

func (w *world) live() (n int) {
	for _, r := range w.jobs {
		if r.State == job.Pending || r.State == job.Started && !r.Parked {
			n++
		}
	}
	return n
}

// TestStepProperties lets random rooms carry out random orders, with commands, cuts and refusals in between.
func TestStepProperties(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 17))
		l := Limits{AtMost: r.IntN(5), Retries: r.IntN(3),
			Failures: []Allowance{"", "0", "2", "10%", "50%"}[r.IntN(5)],
			Waves:    [][]int{nil, {100}, {5, 25, 100}, {50, 100}}[r.IntN(4)],
			Pause:    Seconds(r.IntN(2) * r.IntN(50)),
			Begin:    Seconds(r.IntN(2) * 600), Silence: Seconds(r.IntN(2) * 600)}
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		carryOut(t, seed, r, room(1+r.IntN(40), l))
	}
}

func carryOut(t *testing.T, seed uint64, r *rand.Rand, o Order) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d, %+v: %s", seed, o.Limits, fmt.Sprintf(format, args...))
	}
	w, now, commanded := &world{r, map[string]*Report{}, map[string]int{}}, start, false
	waves := o.Waves()
	for round := 0; ; round++ {
		now = now.Add(time.Duration(r.IntN(120)) * time.Second)
		w.act(now, round > 400)
		reports := map[string]Report{}
		for id, j := range w.jobs {
			reports[id] = *j
		}
		before := o.State
		var todo []Action
		kept := slices.Clone(o.Machines)
		next, todo := o.Step(now, reports)
		if !reflect.DeepEqual(kept, o.Machines) {
			fail("Step changed its argument")
		}
		if again, _ := next.Step(now, reports); !reflect.DeepEqual(again, next) {
			fail("a second step at once changes something:\n%+v\n%+v", next, again)
		}
		o = next
		if o.State != Running && len(gives(todo)) > 0 {
			fail("an order that is %s gives %v", o.State, todo)
		}
		if before != Running && o.State == Running {
			fail("an order that was %s runs again by itself", before)
		}
		for _, a := range todo {
			if r.IntN(10) == 0 { // a cut: what follows is not done
				break
			}
			o = w.do(fail, o, a, now, waves)
		}
		// What is kept is the document.
		var read Order
		if b, err := json.Marshal(o); err != nil || json.Unmarshal(b, &read) != nil || !reflect.DeepEqual(read, o) {
			fail("the document is another order: %v\n%+v\n%+v", err, read, o)
		}
		c := o.Count()
		if got := c.Waiting + c.Given + c.Done + c.Failed + c.Skipped + c.Cancelled; got != len(o.Machines) {
			fail("%d of %d machines counted", got, len(o.Machines))
		}
		if o.State == Done && c.Waiting+c.Given > 0 {
			fail("done with %+v", c)
		}
		switch {
		case c.Waiting+c.Given == 0 && (o.State == Done || o.State == Cancelled):
			return
		case o.State == Held && r.IntN(3) == 0:
			o, _ = o.Continue(now)
			commanded = true
		case r.IntN(200) == 0:
			o, _ = o.Cancel(now)
		case r.IntN(100) == 0:
			o, _ = o.Hold("", now)
		case r.IntN(100) == 0 && !commanded:
			var again []string
			if o, again, _ = o.Retry(nil, now); len(again) > 0 {
				commanded = true
				for _, id := range again {
					w.had[id] = 0
				}
			}
		case round > 5000:
			fail("it does not end: %s, %+v", o.State, c)
		}
	}
}

// act lets machines go on with their jobs; each ends some time, and at once if they hurry.
func (w *world) act(now time.Time, hurry bool) {
	for _, id := range slices.Sorted(func(yield func(string) bool) {
		for id := range w.jobs {
			if !yield(id) {
				return
			}
		}
	}) {
		j := w.jobs[id]
		j.Parked = false
		switch {
		case j.State == job.Pending && (hurry || w.r.IntN(3) > 0):
			*j = Report{State: job.Started, Heard: now}
		case j.State == job.Started && (hurry || w.r.IntN(3) == 0):
			*j = Report{State: []job.State{job.Done, job.Done, job.Failed, job.Cancelled}[w.r.IntN(4)], Heard: now,
				Message: "it ended"}
		case j.State == job.Started:
			j.Parked = w.r.IntN(5) == 0
		}
	}
}

// do does what a step says.
func (w *world) do(fail func(string, ...any), o Order, a Action, now time.Time, waves []int) Order {
	at, err := o.find(a.Machine)
	if err != nil {
		fail("%v", err)
	}
	if a.Do == DoTakeBack {
		if j := w.jobs[a.Machine]; j.State != job.Pending {
			fail("taking back a job that is %s", j.State)
		}
		w.jobs[a.Machine].State = job.Cancelled
		if o, err = o.TakeBack(a.Machine, now); err != nil {
			fail("TakeBack: %v", err)
		}
		return o
	}
	for i, m := range o.Machines {
		if waves[i] < waves[at] && m.Live() {
			fail("%s of wave %d begins before %s of wave %d ended", a.Machine, waves[at], m.ID, waves[i])
		}
	}
	if w.r.IntN(20) == 0 {
		if o, err = o.Refuse(a.Machine, "it has another job", now); err != nil {
			fail("Refuse: %v", err)
		}
		return o
	}
	if j := w.jobs[a.Machine]; j != nil && (j.State == job.Pending || j.State == job.Started) {
		fail("%s gets a second job", a.Machine)
	}
	if o, err = o.Give(a.Machine, fmt.Sprint(a.Machine, "/", w.had[a.Machine]), now); err != nil {
		fail("Give: %v", err)
	}
	w.jobs[a.Machine] = &Report{State: job.Pending}
	if w.had[a.Machine]++; w.had[a.Machine] > 1+o.Limits.Retries {
		fail("%s got %d jobs", a.Machine, w.had[a.Machine])
	}
	silent := 0
	for _, m := range o.Machines {
		if m.Silent && w.jobs[m.ID].State == job.Started {
			silent++
		}
	}
	if n := w.live() - silent; o.Limits.AtMost > 0 && n > o.Limits.AtMost {
		fail("%d machines have a job at once", n)
	}
	return o
}

// TestValidate: limits out of range, all of them at once.
func TestValidate(t *testing.T) {
	l := Limits{AtMost: -1, Pause: -1, Begin: 1 << 62, Silence: -1, Retries: 11, Failures: "x", Waves: []int{5}}
	err := l.Validate()
	for _, want := range []string{"at most -1", "the pause is -1 s", "the time to begin", "the time of silence",
		"11 retries", "allowed failures", "waves:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() has no %q: %v", want, err)
		}
	}
	if err := (Limits{}).Validate(); err != nil {
		t.Errorf("no limits: %v", err)
	}
}

// FuzzParse: what people type for waves and failures is refused, or is what it says.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "5,25,100", "100", "5, 100", "0,100", "5", "5,5,100", "10%", "0", "101%", "-1", "+1",
		"01", "1e3", "99999", strings.Repeat("1,", 30) + "100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if w, err := ParseWaves(s); err == nil {
			if err := (Limits{Waves: w}).Validate(); err != nil {
				t.Errorf("ParseWaves(%q) = %v, which is not valid: %v", s, w, err)
			}
		}
		a, err := ParseAllowance(s)
		if err != nil {
			return
		}
		if a.exceeded(0, 50) {
			t.Errorf("ParseAllowance(%q) allows no machine that works", s)
		}
		for n := range 50 {
			if a.exceeded(n, 50) && !a.exceeded(n+1, 50) {
				t.Errorf("%q allows %d failures, but not %d", s, n+1, n)
			}
		}
	})
}
