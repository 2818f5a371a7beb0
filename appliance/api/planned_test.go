package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// wiping is a layout that makes everything on the largest disk new, if wipe, or wants it to be blank.
func wiping(t *testing.T, wipe bool) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(layout.Form{Version: 1, Layout: layout.WholeDisk, Wipe: wipe,
		Match: job.Match{Size: job.Largest}}.Document())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full is a disk with data, and empty one without.
var (
	full = job.Disk{Path: "/dev/sda", Serial: "S1", Size: 64 << 30, SectorSize: 512, Table: "gpt", TableID: "a",
		UsableFrom: 34 * 512, UsableTo: 64<<30 - 34*512,
		Partitions: []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Filesystem: "ext4", Label: "photos"}}}
	empty = job.Disk{Path: "/dev/sda", Serial: "S2", Size: 64 << 30, SectorSize: 512, Sampled: job.Zeros}
)

// TestPlanLayout: the plan is that of the disks that the machine last reported, and an order with another one, or with
// one that loses something that no one agreed to, is refused.
func TestPlanLayout(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	in := PlanLayout{Image: "web", Layout: wiping(t, true)}
	order := Install{Image: "web", Layout: in.Layout}
	wants := func(what string, err error, status int, says string) {
		t.Helper()
		if problem(err).Status != status || !strings.Contains(err.Error(), says) {
			t.Errorf("%s = %v, want status %d and %q", what, err, status, says)
		}
	}
	_, err := operator.Plan(ctx, mac, in)
	wants("Plan() for a machine that is not known", err, 404, "no such machine")

	// It was ordered before it was seen.
	order.Plan = hash
	if _, err := operator.Install(ctx, mac, order); err != nil {
		t.Fatalf("Install() of a machine that was never seen = %v", err)
	}
	got, err := operator.Plan(ctx, mac, in)
	if err != nil || got.Plan != nil || got.Refused != "" || !got.Since.IsZero() || got.Image != "web:1@amd64" {
		t.Errorf("Plan() for a machine that was not seen = %+v, %v", got, err)
	}
	if _, err := operator.Cancel(ctx, mac); err != nil {
		t.Fatal(err)
	}

	agent, hello := s.boot(t, true, job.FeatureSettings, job.FeatureLayout)
	reports := func(d job.Disk) {
		t.Helper()
		hello.Inventory = job.Inventory{Memory: 1 << 30, Disks: []job.Disk{d}}
		if _, err := agent.Hello(ctx, hello); err != nil {
			t.Fatal(err)
		}
	}
	reports(full)
	if got, err = operator.Plan(ctx, mac, in); err != nil || got.Plan == nil || got.Stale || got.Since.IsZero() {
		t.Fatalf("Plan() = %+v, %v", got, err)
	}
	same, err := plan.Make(plan.Input{Layout: must(layout.Decode(in.Layout)), Disks: []job.Disk{full}})
	if err != nil || got.Plan.Hash != same.Hash || got.Plan.Verify() != nil || len(got.Plan.Losses) == 0 {
		t.Errorf("the plan is %s, and %v; want that of the disks that were reported, %s", got.Plan.Hash,
			got.Plan.Verify(), same.Hash)
	}
	_, err = operator.Install(ctx, mac, order)
	wants("Install() with another plan", err, 409, "the plan for node-52540000000a is now "+same.Hash)
	order.Plan = ""
	_, err = operator.Install(ctx, mac, order)
	wants("Install() that agrees to no loss", err, 409, "loses data or makes a filesystem smaller")
	order.Layout = wiping(t, false)
	_, err = operator.Install(ctx, mac, order)
	wants("Install() that does not fit", err, 409, "the layout does not fit")
	got, err = operator.Plan(ctx, mac, PlanLayout{Image: "web", Layout: order.Layout})
	if err != nil || got.Plan != nil || !strings.Contains(got.Refused, "disk main (/dev/sda, 68.7 GB, serial S1)") {
		t.Errorf("Plan() that does not fit = %+v, %v", got, err)
	}
	if m, err := operator.Machine(ctx, mac); err != nil || m.Job != nil && m.Job.Live() {
		t.Errorf("after refusals the machine has the job %+v, %v", m.Job, err)
	}
	order.Layout, order.Plan = in.Layout, same.Hash
	m, err := operator.Install(ctx, mac, order)
	if err != nil || m.Job.Spec.Plan != same.Hash {
		t.Fatalf("Install() with the plan = %+v, %v", m.Job, err)
	}
	// An install has finished: the disks are not as they were reported.
	s.skip.Add(int64(time.Minute))
	reports(full)
	for i, state := range []job.State{job.Started, job.Done} {
		if _, err := agent.Events(ctx, job.Events{Boot: hello.Boot, Events: []job.Event{{Seq: uint64(i + 1),
			Job: m.Job.Spec.ID, State: state, Disk: "S1"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = operator.Plan(ctx, mac, in); err != nil || !got.Stale || got.Plan != nil || got.Refused != "" {
		t.Errorf("Plan() after an install = %+v, %v, want it stale, and no plan", got, err)
	}
	for _, l := range []json.RawMessage{in.Layout, wiping(t, false)} { // neither fits the report without consent
		if _, err := operator.Install(ctx, mac, Install{Image: "web", Layout: l}); err != nil {
			t.Errorf("Install() after an install = %v, want the machine to make the plan", err)
		}
		if _, err := operator.Cancel(ctx, mac); err != nil {
			t.Fatal(err)
		}
	}
	s.skip.Add(int64(time.Minute))
	reports(empty)
	if got, err = operator.Plan(ctx, mac, in); err != nil || got.Stale || len(got.Plan.Losses) != 0 {
		t.Errorf("Plan() after another look = %+v, %v", got, err)
	}
	order.Plan = ""
	if _, err := operator.Install(ctx, mac, order); err != nil {
		t.Errorf("Install() that loses nothing = %v", err)
	}
}

// TestPlanLayoutMistakes: what is wrong with the question.
func TestPlanLayoutMistakes(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	agent, hello := s.boot(t, true)
	for range 100 { // more than is kept of a stranger's
		d := full
		d.Model = strings.Repeat("<", 100)
		d.Partitions = append(d.Partitions, d.Partitions...)
		hello.Inventory.Disks = append(hello.Inventory.Disks, d)
	}
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	got, err := operator.Plan(ctx, mac, PlanLayout{Image: "web", Layout: wiping(t, true)})
	if err != nil || got.Plan != nil || !strings.Contains(got.Refused, "more disks and partitions than the") {
		t.Errorf("Plan() for a machine with too many disks = %+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		in     PlanLayout
		status int
		says   string
	}{
		"no layout": {PlanLayout{Image: "web"}, 400, "version: this program knows version 1"},
		"mistakes":  {PlanLayout{Image: "web", Layout: json.RawMessage(`{"version":1}`)}, 400, "0 disks are not"},
		"an image that is not there": {PlanLayout{Image: "none", Layout: wiping(t, true)},
			http.StatusUnprocessableEntity, "no such image"},
	} {
		_, err := operator.Plan(ctx, mac, c.in)
		if problem(err).Status != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Plan() = %v, want status %d and %q", name, err, c.status, c.says)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
