package cloud

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
)

func TestDelete(t *testing.T) {
	for _, c := range []struct {
		name string
		o    DeleteOptions
	}{{"all", DeleteOptions{}}, {"keep-disk", DeleteOptions{KeepDisk: true}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				s := plantest.Demo()
				s.Settings.Parallel = 1
				other := plantest.Demo()
				other.Name = "other"
				b.up(t, s)
				b.up(t, other)
				foreign := b.m.Foreign(provider.KindServer, "demo", "mine")
				volume := find(b.m, provider.KindVolume, "head-1.data").ID
				b.said.Reset()
				if err := b.Delete(t.Context(), "demo", c.o); err != nil {
					t.Fatal(err)
				}
				golden(t, "delete-"+c.name+".txt", b.output())
				golden(t, "deleted-"+c.name+".txt", standing(b.m))
				if r := find(b.m, provider.KindServer, "mine"); r == nil || r.ID != foreign {
					t.Errorf("what is not ours is %v", r)
				}
				stacks, err := b.State.Names()
				if err != nil || slices.Contains(stacks, "demo") != c.o.KeepDisk {
					t.Errorf("Stacks = %q, %v", stacks, err)
				}
				if !c.o.KeepDisk {
					if err := b.Delete(t.Context(), "demo", c.o); !errors.Is(err, provider.ErrNotFound) {
						t.Errorf("Delete once more = %v", err)
					}
					return
				}
				state, err := b.State.Load("demo")
				if err != nil || state.CountServers() != 0 || state.Summary() != "no servers, 1 disk is kept" ||
					!slices.Equal(state.Volumes(), []string{"head-1.data"}) {
					t.Errorf("the state says %q of %d servers and %q, %v", state.Summary(), state.CountServers(),
						state.Volumes(), err)
				}
				st, err := b.Status(t.Context(), "demo")
				if err != nil || len(st.Servers) != 3 || st.Servers[0].State != NotMade || len(st.Others) != 1 ||
					st.Others[0].Name != "head-1.data" {
					t.Errorf("Status = %+v, %v", st, err)
				}
				b.up(t, s)
				if state, err := b.State.Load("demo"); err != nil || state.CountServers() != 3 ||
					state.Summary() != "" {
					t.Errorf("after Up the state says %q of %d servers, %v", state.Summary(), state.CountServers(), err)
				}
				if got := find(b.m, provider.KindVolume, "head-1.data"); got.ID != volume || got.Bound == "" {
					t.Errorf("Up after that has volume %+v, want %s", got, volume)
				}
			})
		})
	}
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		if _, err := b.Scale(t.Context(), plantest.Demo(), "worker", 3, Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Adopt(t.Context(), plantest.Demo()); err == nil {
			t.Error("Adopt of a stack whose state is there worked")
		}
		want := standing(b.m)
		if err := os.RemoveAll(b.files); err != nil {
			t.Fatal(err)
		}
		found, err := b.Adopt(t.Context(), plantest.Demo())
		if err != nil || len(found) != 10 {
			t.Fatalf("Adopt = %v, %v", found, err)
		}
		b.cat.stable = "web:2"
		golden(t, "plan-adopted.txt", b.planned(t, plantest.Demo(), false))
		b.up(t, plantest.Demo())
		if got := standing(b.m); got != want {
			t.Errorf("after Adopt and Up there is\n%s, want\n%s", got, want)
		}
		// What is made now gets the system that the others have, and the next address.
		if _, err := b.Scale(t.Context(), plantest.Demo(), "worker", 4, Options{}); err != nil {
			t.Fatal(err)
		}
		w1, w4 := find(b.m, provider.KindServer, "worker-1"), find(b.m, provider.KindServer, "worker-4")
		if w4.Image != w1.Image || w4.Private.String() != "10.77.0.14" {
			t.Errorf("worker-4 is %+v, beside worker-1 %+v", w4, w1)
		}
		if _, err := b.Upgrade(t.Context(), plantest.Demo(), nil, Options{}); err != nil {
			t.Fatal(err)
		}
		if n := b.m.Made(provider.KindServer, "demo", "worker-1"); n != 2 {
			t.Errorf("Upgrade of an adopted stack made worker-1 %d times in all, want 2", n)
		}
		if p := b.up(t, plantest.Demo()); !p.Empty() || len(p.Notes) > 0 {
			t.Errorf("then is planned\n%s", printed(t, p, false))
		}
		other := plantest.Demo()
		other.Name = "nowhere"
		if _, err := b.Adopt(t.Context(), other); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("Adopt of nothing = %v", err)
		}
	})
}

// TestLostState has Up go on without Adopt, and without the state: nothing is made twice.
func TestLostState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		if err := os.RemoveAll(b.files); err != nil {
			t.Fatal(err)
		}
		want := standing(b.m)
		b.up(t, plantest.Demo())
		if got := standing(b.m); got != want {
			t.Errorf("Up without the state leaves\n%s, want\n%s", got, want)
		}
		if _, err := b.State.Load("other"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("State of a stack that is not there = %v", err)
		}
	})
}

func TestCollect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo()) // of web:1
		for _, v := range []string{"web:2", "web:3", "web:10"} {
			i, err := b.cat.Build(t.Context(), v, "amd64", provider.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.m.Ensure(t.Context(), &i); err != nil {
				t.Fatal(err)
			}
		}
		old, err := b.Superfluous(t.Context(), 1)
		var names []string
		for _, i := range old {
			names = append(names, i.Name)
		}
		if err != nil || strings.Join(names, " ") != "web-3-amd64 web-2-amd64" {
			t.Fatalf("Superfluous = %q, %v", names, err)
		}
		if err := b.Collect(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if find(b.m, provider.KindImage, "web-1-amd64") == nil || find(b.m, provider.KindImage, "web-10-amd64") == nil {
			t.Errorf("then there is\n%s", standing(b.m))
		}
	})
}
