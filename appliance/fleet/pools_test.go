package fleet

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestPools: an install keeps the pools that installs of its machine made, and no others once one is known.
func TestPools(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	again := func(key string) job.Spec {
		t.Helper()
		o := order()
		o.Replace = true
		_, j, err := r.Install(ctx, key, o)
		if err != nil {
			t.Fatal(err)
		}
		return j.Spec
	}
	if s := again(macA); s.Pools != nil {
		t.Errorf("the pools of a machine that was never installed are %q", s.Pools)
	}
	if _, err := r.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	first := r.deployed("ada", macA).Deployed.Job
	r.order(macA) // an update makes no pool
	if s := again(macA); !slices.Equal(s.Pools, []string{first}) {
		t.Errorf("the pools are %q, want the one of %s", s.Pools, first)
	}

	// The end of the second install was not heard: its disk may have its pool, or still that of the first one.
	boot := uuid.NewString()
	g := prove(t, r.Fleet, "ada", boot, macA)
	second := g.Job.Spec.ID
	if _, err := r.Append(ctx, Proof{g.Token, "ada"}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: second, State: job.Started, Disk: "S1"}}}); err != nil {
		t.Fatal(err)
	}
	if s := again(macA); !slices.Equal(s.Pools, []string{second, first}) {
		t.Errorf("the pools are %q, want those of %s and %s", s.Pools, second, first)
	}
	if _, err := r.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}

	// The disk moves to a computer that has another entry.
	other := r.deployed("bob", macB)
	if _, err := r.Merge(ctx, other.Name, macA); err != nil {
		t.Fatal(err)
	}
	if s := again(other.Name); len(s.Pools) != 3 || !slices.Contains(s.Pools, first) {
		t.Errorf("the pools after a merge are %q, want %s among them", s.Pools, first)
	}
}
