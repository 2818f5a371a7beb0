package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/order"
)

// lab has machines lab-0 and so on, each with a disk that its agent has reported.
type lab struct {
	*site
	operator *Client
	agents   []*job.Client
	boots    []string
}

// roomDisk is the disk of machine i; full says that it is not blank.
func roomDisk(i int, full bool) job.Disk {
	d := job.Disk{Path: "/dev/sda", Serial: fmt.Sprint("S", i), Size: 64 << 30, SectorSize: 512, Sampled: job.Zeros}
	if full {
		d.Sampled, d.Table, d.TableID = "", "gpt", fmt.Sprint("t", i)
		d.Partitions = []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Filesystem: "ext4", Label: "photos"}}
	}
	return d
}

func newLab(t *testing.T, machines int, full func(i int) bool) *lab {
	t.Helper()
	l := &lab{site: newSite(t)}
	l.operator = NewClient(l.URL, adminToken, l.tls)
	for i := range machines {
		l.agents = append(l.agents, job.NewClient(l.URL, l.tls))
		l.boots = append(l.boots, fmt.Sprintf("7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f%02x", i))
		l.hello(t, i, roomDisk(i, full(i)))
		if _, err := l.operator.Rename(t.Context(), l.mac(i), fmt.Sprint("lab-", i)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *lab) mac(i int) string { return fmt.Sprintf("52:54:00:00:01:%02x", i) }

// hello says what the agent of machine i finds, and returns its job.
func (l *lab) hello(t *testing.T, i int, d job.Disk) *job.Spec {
	t.Helper()
	w, err := l.agents[i].Hello(t.Context(), job.Hello{Boot: l.boots[i],
		Identity:  job.Identity{MACs: []string{l.mac(i)}},
		Inventory: job.Inventory{Memory: 1 << 30, Disks: []job.Disk{d}}})
	if err != nil {
		t.Fatal(err)
	}
	return w.Job
}

// report has the agent of machine i carry out its job, as far as the state.
func (l *lab) report(t *testing.T, i int, s *job.Spec, seq uint64, state job.State) {
	t.Helper()
	ev := job.Event{Seq: seq, Job: s.ID, State: state, Disk: fmt.Sprint("S", i)}
	if _, err := l.agents[i].Events(t.Context(), job.Events{Boot: l.boots[i], Events: []job.Event{ev}}); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) step(t *testing.T, id string) Order {
	t.Helper()
	l.handler.stepOrders(t.Context())
	o, err := l.operator.Order(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func overwrite(machines ...string) MakeOrder {
	return MakeOrder{Kind: job.Install, Machines: machines,
		Options: OrderOptions{Image: "web:stable", Disk: "largest", Overwrite: true}}
}

// TestOrder tells an order from the preview to the last machine: two disks lose something, and one of them changes.
func TestOrder(t *testing.T) {
	ctx, l := t.Context(), newLab(t, 3, func(i int) bool { return i < 2 })
	in := overwrite("lab-0", "lab-1", l.mac(1), "lab-2")
	p, err := l.operator.PreviewOrder(ctx, in)
	if err != nil || p.Gets != 3 || p.Loses != 2 || len(p.Machines) != 3 {
		t.Fatalf("PreviewOrder() = %+v, %v", p, err)
	}
	if m := p.Machines[0]; m.Image != "web:2@amd64" || m.Erase != "S0" || len(m.Loses) != 1 ||
		!strings.Contains(m.Loses[0], `serial S0: partition 1: 34.4 GB, ext4 "photos"`) || m.Agreed == "" {
		t.Errorf("lab-0: %+v", m)
	}
	if m := p.Machines[2]; m.Erase != "" || m.Loses != nil || m.Agreed != "" {
		t.Errorf("lab-2, whose disk is blank: %+v", m)
	}
	var refused *job.Problem
	if _, err := l.operator.MakeOrder(ctx, in); !errors.As(err, &refused) || refused.Status != http.StatusConflict ||
		!strings.Contains(refused.Detail, "2 machines lose data") || !strings.Contains(refused.Detail, p.Hash) {
		t.Errorf("without agreement: %v", err)
	}
	in.Plan, in.Limits = p.Hash, order.Limits{AtMost: 2}
	o, err := l.operator.MakeOrder(ctx, in)
	if err != nil || o.ID != "1" || o.Counts.Waiting != 3 || o.By != "admin.token" ||
		o.What != "install web:stable on disk largest, and overwrite that" {
		t.Fatalf("MakeOrder() = %+v, %v", o, err)
	}
	// The disk of lab-1 gets something else before its turn.
	other := roomDisk(1, true)
	other.Partitions[0].Label = "thesis"
	if s := l.hello(t, 1, other); s != nil {
		t.Fatalf("lab-1 has a job before its turn: %+v", s)
	}
	o = l.step(t, o.ID)
	if m := o.Machines[1]; m.State != order.Skipped || !strings.Contains(m.Why, "not as they were") {
		t.Errorf("lab-1: %+v", m)
	}
	o = l.step(t, o.ID)
	if o.Counts != (order.Counts{Given: 2, Skipped: 1}) {
		t.Fatalf("%+v", o.Counts)
	}
	for _, i := range []int{0, 2} {
		s := l.hello(t, i, roomDisk(i, i == 0))
		if s == nil || s.Image.Ref != "web:2@amd64" || s.Asked != "web:stable" ||
			s.Erase != map[int]string{0: "S0"}[i] {
			t.Fatalf("the job of lab-%d is %+v", i, s)
		}
		l.report(t, i, s, 1, job.Started)
		l.report(t, i, s, 2, map[int]job.State{0: job.Done, 2: job.Failed}[i])
	}
	o = l.step(t, o.ID)
	if o.State != order.Done || o.Counts != (order.Counts{Done: 1, Failed: 1, Skipped: 1}) {
		t.Errorf("the end: %s, %+v", o.State, o.Counts)
	}
	// Another agreement, for lab-1 alone, and a second job for lab-2.
	again := overwrite("lab-1")
	if p, err = l.operator.PreviewOrder(ctx, again); err != nil || p.Loses != 1 {
		t.Fatal(p, err)
	}
	again.Agreed = map[string]string{p.Machines[0].ID: p.Machines[0].Agreed}
	if _, err := l.operator.MakeOrder(ctx, again); err != nil {
		t.Error(err)
	}
	if o, err = l.operator.RetryOrder(ctx, "1", RetryOrder{Machines: []string{"lab-2"}}); err != nil {
		t.Fatal(err)
	}
	if o = l.step(t, "1"); o.State != order.Running || o.Machines[2].State != order.Given {
		t.Errorf("after retry: %+v", o)
	}
	var ids []string
	err = l.operator.EachOrderPage(ctx, func(page Orders) bool {
		for _, o := range page.Orders {
			ids = append(ids, o.ID+" "+string(o.State))
		}
		return true
	})
	if err != nil || !slices.Equal(ids, []string{"2 running", "1 running"}) {
		t.Errorf("the list is %v, %v", ids, err)
	}
}

// TestOrderAgreedOneByOne: with what was agreed to for each machine, one that has changed is skipped, and the others
// get their jobs.
func TestOrderAgreedOneByOne(t *testing.T) {
	ctx, l := t.Context(), newLab(t, 2, func(int) bool { return true })
	in := overwrite("lab-0", "lab-1")
	p, err := l.operator.PreviewOrder(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Plan, in.Agreed = p.Hash, map[string]string{}
	for _, m := range p.Machines {
		in.Agreed[m.ID] = m.Agreed
	}
	other := roomDisk(0, true)
	other.Partitions[0].Filesystem = "ntfs"
	l.hello(t, 0, other)
	o, err := l.operator.MakeOrder(ctx, in)
	if err != nil || o.Machines[0].State != order.Skipped || o.Machines[1].State != order.Waiting ||
		!strings.Contains(o.Machines[0].Why, "not what was agreed to") {
		t.Errorf("MakeOrder() = %+v, %v", o, err)
	}
}

// TestOrderByLayout: the plan of each machine is agreed to, and a machine gets only that.
func TestOrderByLayout(t *testing.T) {
	ctx, l := t.Context(), newLab(t, 2, func(i int) bool { return i == 0 })
	d, err := json.Marshal(layout.Form{Version: 1, Layout: layout.WholeDisk, Wipe: true,
		Match: job.Match{Size: job.Largest}}.Document())
	if err != nil {
		t.Fatal(err)
	}
	in := MakeOrder{Kind: job.Install, Machines: []string{"lab-0", "lab-1"},
		Options: OrderOptions{Image: "web", Layout: d}}
	p, err := l.operator.PreviewOrder(ctx, in)
	if err != nil || p.Loses != 1 || !strings.Contains(fmt.Sprint(p.Machines[0].Loses), "photos") {
		t.Fatalf("PreviewOrder() = %+v, %v", p, err)
	}
	in.Plan = p.Hash
	if _, err := l.operator.MakeOrder(ctx, in); err != nil {
		t.Fatal(err)
	}
	o := l.step(t, "1")
	if o.Counts.Given != 2 {
		t.Fatalf("%+v", o.Machines)
	}
	m, err := l.operator.Machine(ctx, "lab-0")
	if err != nil || m.Job.Spec.Plan != p.Machines[0].Agreed || m.Job.Spec.Plan == "" {
		t.Errorf("lab-0 has the plan %q, %v", m.Job.Spec.Plan, err)
	}
	if m, err = l.operator.Machine(ctx, "lab-1"); err != nil || m.Job.Spec.Plan != "" {
		t.Errorf("lab-1, which loses nothing, has the plan %q, %v", m.Job.Spec.Plan, err)
	}
}

// TestOrderForGroup: the name of a group stands for its machines, a filter adds others, and the group has the image.
func TestOrderForGroup(t *testing.T) {
	ctx, l := t.Context(), newLab(t, 4, func(int) bool { return false })
	fine := func(fleet.Declared) error { return nil }
	if _, err := l.fleet.ChangeGroup(ctx, "lab1", true, func(g *fleet.Group) error {
		g.Image = "web:stable"
		return nil
	}, fine); err != nil {
		t.Fatal(err)
	}
	group := "lab1"
	if _, err := l.fleet.Relabel(ctx, []fleet.Change{{Key: "lab-0", Group: &group}, {Key: "lab-2", Group: &group},
		{Key: "lab-3", Add: []string{"gpu"}}}, false, false, fine); err != nil {
		t.Fatal(err)
	}
	names := func(in MakeOrder) (out []string) {
		t.Helper()
		p, err := l.operator.PreviewOrder(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Machines {
			out = append(out, m.Name+" "+m.Image)
		}
		return out
	}
	in := MakeOrder{Kind: job.Install, Machines: []string{"lab1"}, Options: OrderOptions{Disk: "largest"}}
	if got := names(in); !slices.Equal(got, []string{"lab-0 web:2@amd64", "lab-2 web:2@amd64"}) {
		t.Errorf("lab1 is %v", got)
	}
	if o, err := l.operator.MakeOrder(ctx, in); err != nil || len(o.Machines) != 2 ||
		!strings.Contains(string(o.Asked), "web:stable") {
		t.Errorf("MakeOrder() = %+v, %v", o, err)
	}
	in = MakeOrder{Kind: job.Install, Machines: []string{"lab-1"}, Filter: "tag=gpu",
		Options: OrderOptions{Image: "web", Disk: "largest"}}
	if got := names(in); !slices.Equal(got, []string{"lab-1 web:1@amd64", "lab-3 web:1@amd64"}) {
		t.Errorf("lab-1 and tag=gpu are %v", got)
	}
	var refused *job.Problem
	in.Filter = "color=red"
	if _, err := l.operator.PreviewOrder(ctx, in); !errors.As(err, &refused) ||
		refused.Status != http.StatusBadRequest {
		t.Errorf("a filter with a mistake: %v", err)
	}
	if _, err := l.operator.Rename(ctx, "lab-1", "lab1"); err != nil {
		t.Fatal(err)
	}
	in = MakeOrder{Kind: job.Relay, Machines: []string{"lab1"}, Options: OrderOptions{Image: "web"}}
	if _, err := l.operator.PreviewOrder(ctx, in); err == nil ||
		!strings.Contains(err.Error(), "a machine and a group") {
		t.Errorf("a machine and a group of one name: %v", err)
	}
	if _, err := l.fleet.Retire(ctx, "lab-3"); err != nil {
		t.Fatal(err)
	}
	in = MakeOrder{Kind: job.Relay, Machines: []string{"lab-3"}, Options: OrderOptions{Image: "web"}}
	if p, err := l.operator.PreviewOrder(ctx, in); err != nil || p.Gets != 0 ||
		!strings.Contains(p.Machines[0].Refused, "retired") {
		t.Errorf("a retired machine: %+v, %v", p, err)
	}
}

// TestOrderRefusals: what is wrong with the whole order, and what with one machine.
func TestOrderRefusals(t *testing.T) {
	ctx, l := t.Context(), newLab(t, 4, func(i int) bool { return i == 3 })
	if _, err := l.operator.Install(ctx, "lab-1", Install{Image: "web", Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   MakeOrder
		is   string
	}{
		{"no machine", overwrite(), "1 to 10000 machines"},
		{"no kind", MakeOrder{Machines: []string{"lab-0"}}, `the kind ""`},
		{"erase", MakeOrder{Kind: job.Erase, Machines: []string{"lab-0"}}, "cannot be ordered for many"},
		{"no disk", MakeOrder{Kind: job.Install, Machines: []string{"lab-0"}, Options: OrderOptions{Image: "web"}},
			"either a disk rule or a layout"},
		{"update with a disk", MakeOrder{Kind: job.Update, Machines: []string{"lab-0"}, Options: OrderOptions{
			Image: "web", Disk: "largest"}}, "names no disk"},
		{"relay with a time", MakeOrder{Kind: job.Relay, Machines: []string{"lab-0"}, Options: OrderOptions{
			Image: "web", When: "reboot"}}, "image alone"},
		{"limits", MakeOrder{Kind: job.Relay, Machines: []string{"lab-0"}, Options: OrderOptions{Image: "web"},
			Limits: order.Limits{Waves: []int{7}}}, "waves:"},
		{"image", MakeOrder{Kind: job.Relay, Machines: []string{"lab-0"}, Options: OrderOptions{Image: "nothing"}},
			"no such image"},
		{"unknown", overwrite("lab-0", "lab-9"), "no such machine: lab-9"},
		{"busy", overwrite("lab-1"), "it has another job, which is pending"},
		{"another plan", MakeOrder{Kind: job.Relay, Machines: []string{"lab-0"}, Options: OrderOptions{Image: "web"},
			Plan: "sha256:0"}, "agrees to sha256:0"},
	} {
		if _, err := l.operator.MakeOrder(ctx, c.in); err == nil || !strings.Contains(err.Error(), c.is) {
			t.Errorf("%s: %v, want %q", c.name, err, c.is)
		}
	}
	relay := MakeOrder{Kind: job.Relay, Machines: []string{"lab-0", "lab-1"}, Options: OrderOptions{Image: "web"}}
	o, err := l.operator.MakeOrder(ctx, relay)
	if err != nil || o.ID != "1" || o.Counts != (order.Counts{Waiting: 1, Skipped: 1}) {
		t.Fatalf("a relay for two, one of them busy: %+v, %v", o, err)
	}
	p, err := l.operator.PreviewOrder(ctx, MakeOrder{Kind: job.Install, Machines: []string{"lab-0", "lab-3"},
		Options: OrderOptions{Image: "web", Disk: "largest"}})
	if err != nil || p.Machines[0].Refused != "order 1 has it already, and has not ended" || p.Loses != 0 ||
		!strings.Contains(fmt.Sprint(p.Machines[1].Notes), "is not overwritten") {
		t.Errorf("PreviewOrder() = %+v, %v", p, err)
	}
	for _, do := range []string{"hold", "continue", "cancel"} {
		if o, err = l.operator.ChangeOrder(ctx, "1", do); err != nil {
			t.Errorf("%s: %v", do, err)
		}
	}
	if o.State != order.Cancelled || o.Counts.Waiting != 0 {
		t.Errorf("after cancel: %s, %+v", o.State, o.Counts)
	}
	var refused *job.Problem
	if _, err := l.operator.ChangeOrder(ctx, "1", "hold"); !errors.As(err, &refused) ||
		refused.Status != http.StatusConflict {
		t.Errorf("hold of a cancelled one: %v", err)
	}
	if _, err := l.operator.Order(ctx, "7"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("an order that does not exist: %v", err)
	}
}

// TestCarryOutOrders: the loop gives jobs by itself, hears of what becomes of them, and ends with its context.
func TestCarryOutOrders(t *testing.T) {
	l := newLab(t, 2, func(int) bool { return false })
	in := overwrite("lab-0", "lab-1")
	in.Limits.AtMost = 1
	if _, err := l.operator.MakeOrder(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.handler.CarryOutOrders(ctx) }()
	for i := range 2 {
		var s *job.Spec
		for s == nil {
			grown := l.fleet.Growth()
			if s = l.hello(t, i, roomDisk(i, false)); s == nil {
				select {
				case <-grown:
				case <-t.Context().Done():
					t.Fatal("no job came")
				}
			}
		}
		l.report(t, i, s, 1, job.Started)
		l.report(t, i, s, 2, job.Done)
	}
	for {
		grown := l.fleet.Growth()
		o, err := l.operator.Order(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if o.State == order.Done && o.Counts.Done == 2 {
			break
		}
		<-grown
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
