package cloud

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan"
	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
)

func TestPlanJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.up(t, plantest.Demo())
		b.m.Fail(provider.KindServer, "demo", "worker-1", "its host died")
		b.m.Delete(provider.KindAddress, "demo", "head-1")
		p, err := b.Plan(t.Context(), plantest.Demo())
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Steps {
			p.Steps[i].ID = "" // given out in the order in which servers came up
		}
		text, err := json.MarshalIndent(p, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "plan.json", string(text)+"\n")
	})
}

// BenchmarkPlan plans 500 servers that stand and are as declared.
func BenchmarkPlan(b *testing.B) {
	s := plantest.Demo()
	s.Network.Prefix = netip.MustParsePrefix("10.0.0.0/16")
	s.Roles[1].Count, s.Roles[1].Max = 499, 500
	for n := 3; n <= 499; n++ {
		v := s.Servers[1]
		v.Name, v.Number = fmt.Sprintf("worker-%d", n), n
		v.Volumes = []stack.Volume{{Name: "data", Size: 1 << 30}}
		s.Servers = append(s.Servers, v)
	}
	c := newBench(b)
	c.m.Steps = 0
	c.Report = nil
	s.Settings.Parallel = 64
	c.up(b, s)
	state, err := c.State.Load("demo")
	if err != nil {
		b.Fatal(err)
	}
	in, err := c.survey(b.Context(), s, state)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := plan.Make(in)
		if err != nil || !p.Empty() {
			b.Fatal(err, p.Summary())
		}
	}
}
