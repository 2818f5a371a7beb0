package fleet

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	many "griddle/appliance/order"
)

// roomOf makes an order for n new machines, which are called lab-0 and so on.
func roomOf(t *testing.T, f *Fleet, n int, l many.Limits) many.Order {
	t.Helper()
	o := many.Order{Kind: job.Install, What: "install web:1@amd64", Limits: l}
	for i := range n {
		mac := fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256)
		var m Machine
		err := f.change(t.Context(), func(tx *sql.Tx) (err error) {
			m, err = f.named(t.Context(), tx, mac)
			return err
		})
		if err == nil {
			m, err = f.Rename(t.Context(), m.ID, fmt.Sprint("lab-", i))
		}
		if err != nil {
			t.Fatal(err)
		}
		o.Machines = append(o.Machines, many.Machine{ID: m.ID, Name: m.Name, State: many.Waiting})
	}
	return o
}

func makeOrder(t *testing.T, f *Fleet, o many.Order) many.Order {
	t.Helper()
	o, err := f.MakeOrder(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// carryOn steps an order once, and does what that says. It returns the order after it.
func carryOn(ctx context.Context, f *Fleet, id string, each func(string)) (many.Order, error) {
	_, todo, err := f.StepOrder(ctx, id)
	for _, a := range todo {
		if err != nil {
			break
		}
		each("before " + a.Machine)
		if a.Do == many.DoTakeBack {
			err = f.TakeBackOrdered(ctx, id, a.Machine)
		} else {
			_, _, err = f.GiveOrdered(ctx, id, a.Machine, order())
		}
		each("after " + a.Machine)
	}
	if err != nil {
		return many.Order{}, err
	}
	return f.ShowOrder(ctx, id)
}

func step(t *testing.T, f *Fleet, id string) many.Order {
	t.Helper()
	o, err := carryOn(t.Context(), f, id, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// jobBecomes makes the job of a machine of an order have a state.
func jobBecomes(t *testing.T, f *Fleet, m many.Machine, s job.State) {
	t.Helper()
	err := f.change(t.Context(), func(tx *sql.Tx) error {
		jobs, err := queryJobs(t.Context(), tx, "WHERE id = ?", m.Job)
		if err != nil || len(jobs) != 1 {
			return fmt.Errorf("%s has %d jobs: %w", m.Name, len(jobs), err)
		}
		jobs[0].State, jobs[0].Changed, jobs[0].Message = s, f.o.Now().UTC(), "it said so"
		return saveJob(t.Context(), tx, jobs[0])
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyOrder tells an order's way through a room, with two machines at once.
func TestManyOrder(t *testing.T) {
	c := newClock()
	f := open(t, Options{Now: c.now})
	o := makeOrder(t, f, roomOf(t, f, 4, many.Limits{AtMost: 2, Begin: 3600}))
	if o.ID != "1" || o.State != many.Running {
		t.Fatalf("MakeOrder() = %+v", o)
	}
	o = step(t, f, o.ID)
	if o.Count() != (many.Counts{Given: 2, Waiting: 2}) {
		t.Fatalf("the first step: %+v", o.Count())
	}
	v, jobs, err := f.Show(t.Context(), "lab-0")
	if err != nil || len(jobs) != 1 || v.Status() != "pending" || jobs[0].Spec.ID != o.Machines[0].Job {
		t.Errorf("lab-0 is %s, with %+v, %v", v.Status(), jobs, err)
	}
	if log, err := f.Log(t.Context(), "lab-0", 0, 10); err != nil ||
		!strings.Contains(encode(log), "order 1 gave this job") {
		t.Errorf("the journal of lab-0: %s, %v", encode(log), err)
	}
	if o = step(t, f, o.ID); o.Count().Given != 2 {
		t.Errorf("while both wait: %+v", o.Count())
	}
	jobBecomes(t, f, o.Machines[0], job.Done)
	jobBecomes(t, f, o.Machines[1], job.Started)
	if o = step(t, f, o.ID); o.Count() != (many.Counts{Done: 1, Given: 2, Waiting: 1}) {
		t.Errorf("after one is done: %+v", o.Count())
	}
	// The third does not begin, and its job goes.
	jobBecomes(t, f, o.Machines[1], job.Failed)
	c.pass(2 * time.Hour)
	o = step(t, f, o.ID)
	if o.Count() != (many.Counts{Done: 1, Failed: 1, Skipped: 1, Given: 1}) {
		t.Errorf("after an hour: %+v", o.Count())
	}
	if _, jobs, _ := f.Show(t.Context(), "lab-2"); jobs[0].State != job.Cancelled ||
		jobs[0].Message != "order 1 took it back" {
		t.Errorf("the job of lab-2 is %+v", jobs[0])
	}
	jobBecomes(t, f, o.Machines[3], job.Done)
	o = step(t, f, o.ID)
	if live, err := f.LiveOrders(t.Context()); o.State != many.Done || err != nil || len(live) != 0 {
		t.Errorf("the end: %s, %v live, %v", o.State, live, err)
	}
	listed, next, err := f.ListOrders(t.Context(), "", 0)
	if err != nil || next != "" || len(listed) != 1 || listed[0].Counts != o.Count() || listed[0].Machines != nil {
		t.Errorf("ListOrders() = %+v, %q, %v", listed, next, err)
	}
	// What failed is tried again.
	o, err = f.ChangeOrder(t.Context(), o.ID, func(o many.Order) (many.Order, error) {
		o, _, err := o.Retry([]string{"lab-1"}, c.now())
		return o, err
	})
	if err != nil || o.State != many.Running {
		t.Fatalf("Retry: %s, %v", o.State, err)
	}
	if o = step(t, f, o.ID); o.Machines[1].State != many.Given || o.Machines[1].Tries != 1 {
		t.Errorf("the retried one is %+v", o.Machines[1])
	}
}

// TestOneOrderForAMachine: a machine of a live order is not in a second one, and one with another job is left to that.
func TestOneOrderForAMachine(t *testing.T) {
	f := open(t, Options{})
	both := roomOf(t, f, 2, many.Limits{})
	one := both
	one.Machines = one.Machines[:1]
	first := makeOrder(t, f, one)
	if _, err := f.MakeOrder(t.Context(), one); !errors.Is(err, ErrBusy) ||
		!strings.Contains(err.Error(), "order 1 has it") {
		t.Errorf("the same order again = %v", err)
	}
	second := makeOrder(t, f, both)
	if m := second.Machines[0]; m.State != many.Skipped || !strings.Contains(m.Why, "order 1 has it already") {
		t.Errorf("lab-0 in the second order: %+v", m)
	}
	other := Order{Image: job.Image{Ref: "db:1@amd64"}, Disk: "largest"}
	if _, _, err := f.Install(t.Context(), "lab-1", other); err != nil {
		t.Fatal(err)
	}
	_, todo, err := f.StepOrder(t.Context(), second.ID)
	if err != nil || len(todo) != 1 {
		t.Fatal(todo, err)
	}
	if _, _, err := f.GiveOrdered(t.Context(), second.ID, todo[0].Machine, order()); !errors.Is(err, ErrBusy) {
		t.Errorf("giving a machine with a job another one: %v", err)
	}
	if o, _ := f.ShowOrder(t.Context(), second.ID); o.Machines[1].State != many.Waiting {
		t.Errorf("after it was refused: %+v", o.Machines[1])
	}
	if err := f.RefuseOrdered(t.Context(), second.ID, todo[0].Machine, "it has another job"); err != nil {
		t.Fatal(err)
	}
	if o := step(t, f, second.ID); o.State != many.Done {
		t.Errorf("the second order is %s", o.State)
	}
	retry := func(o many.Order) (many.Order, error) {
		o, _, err := o.Retry(nil, time.Now())
		return o, err
	}
	if _, err := f.ChangeOrder(t.Context(), second.ID, retry); !errors.Is(err, ErrBusy) {
		t.Errorf("retrying a machine that another order has: %v", err)
	}
	if _, err := f.ChangeOrder(t.Context(), first.ID, func(o many.Order) (many.Order, error) {
		return o.Cancel(time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ChangeOrder(t.Context(), second.ID, retry); err != nil {
		t.Errorf("after the other order was cancelled: %v", err)
	}
	if live, err := f.LiveOrders(t.Context()); err != nil || fmt.Sprint(live) != "[2]" {
		t.Errorf("live are %v, %v", live, err)
	}
	for _, id := range []string{"3", "x", "", "99999999999999999999"} {
		if _, err := f.ShowOrder(t.Context(), id); !errors.Is(err, ErrNoOrder) {
			t.Errorf("ShowOrder(%q) = %v", id, err)
		}
	}
}

// TestOrdersAreForgotten: the oldest that have ended, beyond both limits; a live one stays, and numbers do not return.
func TestOrdersAreForgotten(t *testing.T) {
	f := open(t, Options{})
	f.max.orders, f.max.orderRows = 4, 10
	end := func(o many.Order) (many.Order, error) { return o.Cancel(time.Now()) }
	live := makeOrder(t, f, roomOf(t, f, 1, many.Limits{}))
	big := roomOf(t, f, 5, many.Limits{})
	// Each has 5 machines.
	for _, want := range []string{"[2 1]", "[3 2 1]", "[4 3 1]"} {
		o := makeOrder(t, f, big)
		if _, err := f.ChangeOrder(t.Context(), o.ID, end); err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, f); got != want {
			t.Errorf("after order %s there are %s, want %s", o.ID, got, want)
		}
	}
	big.Machines = big.Machines[1:2]
	for range 4 {
		if _, err := f.ChangeOrder(t.Context(), makeOrder(t, f, big).ID, end); err != nil {
			t.Fatal(err)
		}
	}
	makeOrder(t, f, big)
	if got := numbers(t, f); got != "[9 8 7 6 1]" {
		t.Errorf("there are %s, and %s is live", got, live.ID)
	}
}

func numbers(t *testing.T, f *Fleet) string {
	t.Helper()
	var out []string
	for before := ""; ; {
		page, next, err := f.ListOrders(t.Context(), before, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			out = append(out, o.ID)
		}
		if before = next; next == "" {
			return fmt.Sprint(out)
		}
	}
}

// TestHeldMeanwhile: an order that was held after a step gives no job, and one that takes a job back does not take one
// that has begun.
func TestHeldMeanwhile(t *testing.T) {
	c := newClock()
	f := open(t, Options{Now: c.now})
	o := makeOrder(t, f, roomOf(t, f, 2, many.Limits{AtMost: 1, Begin: 60}))
	_, todo, err := f.StepOrder(t.Context(), o.ID)
	if err != nil {
		t.Fatal(err)
	}
	change := func(do func(many.Order) (many.Order, error)) {
		t.Helper()
		if _, err := f.ChangeOrder(t.Context(), o.ID, do); err != nil {
			t.Fatal(err)
		}
	}
	change(func(o many.Order) (many.Order, error) { return o.Hold("", c.now()) })
	if _, _, err := f.GiveOrdered(t.Context(), o.ID, todo[0].Machine, order()); !errors.Is(err, many.ErrState) {
		t.Errorf("giving a job by an order that is held: %v", err)
	}
	change(func(o many.Order) (many.Order, error) { return o.Continue(c.now()) })
	o = step(t, f, o.ID)
	if _, _, err := f.GiveOrdered(t.Context(), o.ID, o.Machines[1].ID, order()); !errors.Is(err, many.ErrState) {
		t.Errorf("a second job at once: %v", err)
	}
	c.pass(time.Hour)
	if _, todo, err = f.StepOrder(t.Context(), o.ID); err != nil || len(todo) != 1 || todo[0].Do != many.DoTakeBack {
		t.Fatal(todo, err)
	}
	jobBecomes(t, f, o.Machines[0], job.Started)
	if err := f.TakeBackOrdered(t.Context(), o.ID, todo[0].Machine); err != nil {
		t.Fatal(err)
	}
	if _, jobs, _ := f.Show(t.Context(), "lab-0"); jobs[0].State != job.Started {
		t.Errorf("a job that has begun was taken back: %+v", jobs[0])
	}
	// A machine that is deleted keeps its line in the order.
	change(func(o many.Order) (many.Order, error) { return o.Hold("", c.now()) })
	if _, err := f.Delete(t.Context(), "lab-1", false); err != nil {
		t.Fatal(err)
	}
	if o = step(t, f, o.ID); o.Machines[1].State != many.Skipped || o.Machines[1].Name != "lab-1" {
		t.Errorf("the deleted one is %+v", o.Machines[1])
	}
}

// TestManyReboots: a restart that its machine may have begun at the last moment is not taken back, unless an operator
// cancels the order.
func TestManyReboots(t *testing.T) {
	r := newRoom(t, Options{})
	r.able("ada", macA)
	m := r.show(macA).Machine
	o := many.Order{Kind: job.Reboot, Limits: many.Limits{Begin: 3600},
		Machines: []many.Machine{{ID: m.ID, Name: m.Name, State: many.Waiting}}}
	o = makeOrder(t, r.Fleet, o)
	give := func() {
		t.Helper()
		_, todo, err := r.StepOrder(t.Context(), o.ID)
		if err != nil || len(todo) != 1 || todo[0].Do != many.DoGive {
			t.Fatal(todo, err)
		}
		order := Order{Kind: job.Reboot, Within: o.Limits.Begin.Duration()}
		if _, _, err := r.GiveOrdered(t.Context(), o.ID, m.ID, order); err != nil {
			t.Fatal(err)
		}
	}
	back := func(want many.MachineState) {
		t.Helper()
		_, todo, err := r.StepOrder(t.Context(), o.ID)
		if err != nil || len(todo) != 1 || todo[0].Do != many.DoTakeBack {
			t.Fatal(todo, err)
		}
		if err := r.TakeBackOrdered(t.Context(), o.ID, m.ID); err != nil {
			t.Fatal(err)
		}
		if o, err = r.ShowOrder(t.Context(), o.ID); err != nil || o.Machines[0].State != want {
			t.Errorf("the machine is %+v, want %s, %v", o.Machines[0], want, err)
		}
	}
	change := func(do func(many.Order) (many.Order, error)) {
		t.Helper()
		if _, err := r.ChangeOrder(t.Context(), o.ID, do); err != nil {
			t.Fatal(err)
		}
	}
	give()
	r.c.pass(time.Hour)
	back(many.Given)
	r.c.pass(2 * time.Minute)
	back(many.Skipped)
	change(func(o many.Order) (many.Order, error) {
		o, _, err := o.Retry(nil, r.c.now())
		return o, err
	})
	give()
	change(func(o many.Order) (many.Order, error) { return o.Cancel(r.c.now()) })
	back(many.MachineCancelled)
}

// TestKilledOrder kills the program at many points of an order for 50 machines. Each machine gets one job.
func TestKilledOrder(t *testing.T) {
	const machines = 50
	file := os.Getenv("GRIDDLE_TEST_ORDER")
	if file != "" { // the program that is killed
		f, err := Open(t.Context(), file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			o, err := carryOn(t.Context(), f, "1", func(what string) { fmt.Println(what) })
			if err != nil {
				t.Fatal(err)
			}
			if o.Count().Waiting == 0 {
				fmt.Println("end")
				return
			}
		}
	}
	file = filepath.Join(t.TempDir(), "fleet.db")
	f, err := Open(t.Context(), file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	makeOrder(t, f, roomOf(t, f, machines, many.Limits{}))
	f.Close()
	kills := 0
	for lines := 1; ; lines = 1 + (lines+4)%9 {
		if cut(t, file, lines) {
			break
		}
		if kills++; kills > 4*machines {
			t.Fatal("the order does not end")
		}
	}
	if f, err = Open(t.Context(), file, Options{}); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := f.ShowOrder(t.Context(), "1")
	if err != nil || o.Count() != (many.Counts{Given: machines}) {
		t.Fatalf("after %d kills: %+v, %v", kills, o.Count(), err)
	}
	for _, m := range o.Machines {
		if _, jobs, err := f.Show(t.Context(), m.ID); err != nil || len(jobs) != 1 || jobs[0].Spec.ID != m.Job {
			t.Errorf("%s has %d jobs, %v", m.Name, len(jobs), err)
		}
	}
	if kills < 10 {
		t.Errorf("it was killed %d times, which shows little", kills)
	}
}

// cut runs the test as another program, and kills it after it has written so many lines. It returns true if the order
// was complete before.
func cut(t *testing.T, file string, lines int) bool {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledOrder$")
	c.Env = append(os.Environ(), "GRIDDLE_TEST_ORDER="+file)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	for s := bufio.NewScanner(out); s.Scan(); lines-- {
		switch text := s.Text(); {
		case text == "end":
			return true
		case strings.Contains(text, "FAIL"):
			t.Error(text)
		case lines == 1:
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return false
}
