//go:build torture

package powercut

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/job"
)

// cuts is how many cases of each kind there are on each firmware.
var cuts = []struct {
	kind Kind
	n    int
}{{Live, 36}, {Network, 11}, {Reinstall, 7}, {First, 2}}

// TestCuts cuts the power of two machines, one with each firmware. Each case counts by itself in an interrupted
// run.
func TestCuts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("GRIDDLE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("GRIDDLE_SEED=%d", seed)
	for _, firmware := range []e2e.Firmware{e2e.BIOS, e2e.UEFI} {
		t.Run(string(firmware), func(t *testing.T) {
			t.Parallel()
			b := &bed{T: t, firmware: firmware}
			for _, c := range cuts {
				t.Run(string(c.kind), func(t *testing.T) {
					var all tally
					for n := range c.n {
						t.Run(fmt.Sprintf("%02d", n), func(t *testing.T) {
							e2etest.Passes(t)
							t.Logf("GRIDDLE_SEED=%d", seed)
							b.once.Do(b.makeApart)
							if b.network == nil {
								t.Fatal("the machine of this firmware was not installed; its log is above")
							}
							b.cut(t, Draw(seed, string(firmware), c.kind, n), &all)
						})
					}
					if all.n > 0 {
						t.Logf("figure: %s: %v", t.Name(), &all)
					}
				})
			}
		})
	}
}

// cut is one case.
func (b *bed) cut(t *testing.T, c Case, all *tally) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	t.Log(c)
	begun := time.Now()
	must(t, b.site.Return(ctx, state))
	must(t, b.site.Start(ctx, "--config", b.config(c.Kexec)))
	defer b.site.Kill()
	from := b.network
	if c.Kind == Live {
		from = b.runs
	}
	name := strings.NewReplacer("TestCuts/", "", "/", "-").Replace(t.Name())
	m, err := from.Machine(ctx, name)
	must(t, err)
	if c.Kind == First {
		empty, err := b.room.MakeDisk(name+"-empty", diskSize)
		must(t, err)
		m.Replace(0, empty)
	}
	order := b.site.Order
	if c.Kind == Reinstall || c.Kind == First {
		order = func(ctx context.Context, m *e2e.Machine, image string, more ...string) error {
			return b.site.Install(ctx, m, image, "--disk", "serial:CUT")
		}
	}
	must(t, order(ctx, m, b.before.Next))
	known, err := b.site.Machine(ctx, m)
	must(t, err)
	id := known.Job.Spec.ID
	journal, stop, err := b.site.Follow(m)
	must(t, err)
	defer stop()

	must(t, m.PowerOn(ctx))
	defer m.PowerCut()
	line := Timeline(c.Kind, c.Kexec)
	switch s := line[c.Step]; {
	case s.Console != "":
		_, err = m.Console().Wait(ctx, s.Console)
	case s.Phase != "":
		_, err = journal.Wait(ctx, s.Entry(id))
	case s.Event != "":
		_, err = m.Events().Wait(ctx, s.Event)
	}
	must(t, err)
	pause(ctx, c.After)
	m.PowerCut()
	reached, saw := "", Saw{}
	for _, s := range line {
		if s.Console != "" && m.Console().Count(s.Console) > 0 || s.Phase != "" && journal.Count(s.Entry(id)) > 0 ||
			s.Event != "" && m.Events().Count(s.Event) > 0 {
			reached = s.Name
		}
		saw.Switched = saw.Switched || s.Name == "switch" && reached == s.Name
		saw.Blessed = saw.Blessed || s.Name == "blessed" && reached == s.Name
	}
	reached = cmp.Or(reached, line[0].Name)
	t.Logf("the power is cut in the step %q, %.0f s after the case began", reached, time.Since(begun).Seconds())

	m.DiskFirst = !c.Network
	must(t, m.PowerOn(ctx))
	if c.Again > 0 {
		pause(ctx, c.Again)
		m.PowerCut()
		t.Log("the power is cut again")
		must(t, m.PowerOn(ctx))
	}
	said := b.judge(ctx, t, m, c, saw, id)
	m.PowerCut()
	if err := from.Same(ctx, m, 1); err != nil {
		t.Errorf("the other disk: %v", err)
	}
	t.Logf("then %s ran", said.Root)
	all.add(reached, said.Root == b.before.New, time.Since(begun))
	if t.Failed() {
		t.Logf("the disk and the console of the machine are kept: %s/%s*", b.room.Dir, name)
		b.site.Kill()
		must(t, b.site.Keep(ctx, name))
		return
	}
	must(t, m.Remove())
}

// judge waits for the machine's start, and with Case.End until the job is over, and compares all that is known.
func (b *bed) judge(ctx context.Context, t *testing.T, m *e2e.Machine, c Case, saw Saw, id string) Said {
	before := b.before
	before.Kind = c.Kind
	for {
		said, err := b.probe(ctx, m)
		if err != nil {
			t.Fatalf("the machine does not come up: %v", err)
		}
		wrong := before.Judge(said, saw)
		known, theirs := b.agree(ctx, t, m, before, said, id)
		if wrong = append(wrong, theirs...); len(wrong) > 0 {
			t.Errorf("after the power cut:\n\t%s\nthe machine says\n%v", strings.Join(wrong, "\n\t"), said)
			for _, e := range known.Journal {
				t.Logf("journal: %s %s %s %s", e.Received.Format(time.TimeOnly), e.Event.Phase, e.Event.State,
					e.Event.Message)
			}
			return said
		}
		over := true
		for _, j := range known.Machine.Jobs {
			over = over && (j.Spec.ID != id || j.State != job.Pending && j.State != job.Started)
		}
		if over || !c.End {
			return said
		}
		t.Logf("%s runs, and the job goes on", said.Root)
	}
}

// agree asks the server until it knows what the machine said, for a minute and a half.
func (b *bed) agree(ctx context.Context, t *testing.T, m *e2e.Machine, before Before, said Said,
	id string) (Known, []string) {
	end := time.Now().Add(90 * time.Second)
	for {
		var k Known
		var err error
		k.Machine, err = b.site.Machine(ctx, m)
		must(t, err)
		k.Journal, err = b.site.Journal(ctx, m)
		must(t, err)
		wrong := k.Judge(before, said, id)
		if len(wrong) == 0 || time.Now().After(end) || ctx.Err() != nil {
			return k, wrong
		}
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// tally counts cases.
type tally struct {
	n, next int
	steps   map[string]int
	took    time.Duration
}

func (a *tally) add(step string, next bool, took time.Duration) {
	if a.steps == nil {
		a.steps = map[string]int{}
	}
	a.n++
	a.steps[step]++
	if next {
		a.next++
	}
	a.took += took
}

func (a *tally) String() string {
	return fmt.Sprintf("%d power cuts, %v; then %d ran the old root and %d the new one; %.0f s each", a.n, a.steps,
		a.n-a.next, a.next, a.took.Seconds()/float64(a.n))
}
