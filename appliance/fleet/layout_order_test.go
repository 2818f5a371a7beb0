package fleet

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// beside is a layout, written as no program of ours would.
const beside = `{"disks":[{"id":"main", "match":{"size":"smallest","SIZE":"largest"},
	"partitions":[{"id":"esp","use":"esp"},{"id":"pool","use":"pool","size":"rest"}]}],"version":1}`

// written is the same as it travels.
const written = `{"version":1,"disks":[{"id":"main","match":{"size":"largest"},"partitions":[` +
	`{"id":"esp","use":"esp"},{"id":"pool","use":"pool","size":"rest"}]}]}`

const hashA = "sha256:66cd465765f4560e457e273aefab6c5af54dfd5ce0c94a47c92b4c65a7e8524f"

func laid() Order {
	return Order{Image: job.Image{Ref: "web:1@amd64"}, Layout: json.RawMessage(beside), Plan: hashA}
}

// TestOrderWithLayout: the job has the layout as it was checked, the plan that was agreed to, and no disk.
func TestOrderWithLayout(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	_, j, err := f.Install(ctx, macA, laid())
	if err != nil {
		t.Fatal(err)
	}
	if s := j.Spec; string(s.Layout) != written || s.Plan != hashA || s.Disk != "" || s.Erase != "" {
		t.Errorf("Install() makes the job %s with plan %s, disk %q", s.Layout, s.Plan, s.Disk)
	}
	g := say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	if g.Job == nil || string(g.Job.Spec.Layout) != written || g.Job.Spec.Plan != hashA {
		t.Errorf("Hello() gives %+v", g.Job)
	}
	if entries, err := f.Log(ctx, macA, 0, 10); err != nil || !strings.Contains(entries[0].Event.Message,
		"install web:1@amd64 by a layout, with the plan "+hashA) {
		t.Errorf("the journal says %+v, %v", entries, err)
	}
	o := laid()
	o.Plan, o.Replace = "", true
	if _, j, err := f.Install(ctx, macA, o); err != nil || j.Spec.Plan != "" || j.Spec.Layout == nil {
		t.Errorf("Install() that agrees to no plan = %+v, %v", j.Spec, err)
	}
}

func TestOrderLayoutMistakes(t *testing.T) {
	f := open(t, Options{})
	for name, c := range map[string]struct {
		change func(*Order)
		says   string
	}{
		"a disk":         {func(o *Order) { o.Disk = "largest" }, "leave out the disk rule"},
		"a disk to lose": {func(o *Order) { o.Erase = "S1" }, "leave out the disk rule"},
		"an update":      {func(o *Order) { o.Kind = job.Update }, "a update names no disk"},
		"a relay":        {func(o *Order) { o.Kind = job.Relay }, "a relay names no disk"},
		"no layout":      {func(o *Order) { o.Layout = nil; o.Disk = "largest" }, "has no layout"},
		"no hash":        {func(o *Order) { o.Plan = "yes" }, `"yes" is not the hash of a plan`},
		"half a hash":    {func(o *Order) { o.Plan = hashA[:40] }, "is not the hash of a plan"},
		"a newer layout": {func(o *Order) {
			o.Layout = json.RawMessage(strings.Replace(written, `"use":"esp"`, `"later":{}`, 1))
		}, `unknown field "later"`},
		"mistakes": {func(o *Order) {
			o.Layout = json.RawMessage(strings.Replace(written, `"use":"esp"`, `"use":"data"`, 1))
		}, "the disk of the pool has no esp"},
		"nothing": {func(o *Order) { o.Layout = json.RawMessage("") }, "reading a layout"},
		"too much": {func(o *Order) {
			o.Layout = json.RawMessage(written + strings.Repeat(" ", 1<<20))
		}, "the limit is"},
	} {
		o := laid()
		c.change(&o)
		if _, _, err := f.Install(t.Context(), macA, o); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(),
			c.says) {
			t.Errorf("%s: Install() = %v, want %q", name, err, c.says)
		}
	}
	if views := list(t, f); len(views) != 0 {
		t.Errorf("orders with mistakes made %d machines", len(views))
	}
}

// TestChooseLayout: a choice at the screen is one job however often it is made, and continues with its layout.
func TestChooseLayout(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", "", boot, macA)
	j, _, err := f.Choose(ctx, g.proof(), laid())
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := f.Choose(ctx, g.proof(), laid())
	if err != nil || again.Spec.ID != j.Spec.ID {
		t.Errorf("the same choice again = %+v, %v, want the same job", again.Spec, err)
	}
	other := laid()
	other.Plan = ""
	if _, _, err := f.Choose(ctx, g.proof(), other); !errors.Is(err, ErrBusy) {
		t.Errorf("a choice of another plan = %v, want ErrBusy", err)
	}
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: j.Spec.ID, State: job.Failed})
	next := say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	more, _, err := f.Continue(ctx, next.proof(), j.Spec.ID, "path:/dev/sda")
	if s := more.Spec; err != nil || string(s.Layout) != written || s.Plan != hashA || s.Disk != "" || s.Started != "" {
		t.Errorf("Continue() = %+v, %v, want the layout and its plan", s, err)
	}
}
