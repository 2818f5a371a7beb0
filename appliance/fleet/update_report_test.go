package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestHostileReports: root on a machine speaks for its own machine, and marks no job of another.
func TestHostileReports(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	r.deployed("bob", macB)
	j := r.order(macB)
	install := r.show(macB).Machine.Deployed.Job
	before := encode(r.show(macB))
	for _, id := range []string{j.Spec.ID, install, "", "x", uuid.NewString()} {
		for _, state := range []job.State{job.Done, job.Failed, job.Started, job.Cancelled, "evil", ""} {
			a := r.checkIn("ada", job.CheckIn{Root: "@roots/web-2", Job: &job.JobReport{ID: id, State: state},
				Fell: &job.Fell{Job: id, Root: string(state)}})
			if a.Job != nil || a.Machine.Deployed.Image != "web:1@amd64" {
				t.Errorf("CheckIn() with the job %q as %q = %+v", id, state, a)
			}
		}
	}
	if after := encode(r.show(macB)); after != before {
		t.Errorf("the other machine was\n%s and is\n%s", before, after)
	}
	own := r.order(macA)
	for _, c := range []struct {
		key, id string
		want    error
	}{
		{"ada", own.Spec.ID, nil}, {"ada", j.Spec.ID, ErrOver}, {"ada", install, ErrOver}, {"ada", "", ErrOver},
		{"bob", own.Spec.ID, ErrOver}, {"eve", own.Spec.ID, ErrKey}, {"", own.Spec.ID, ErrToken},
	} {
		if _, _, err := r.Planning(ctx, Proof{Key: c.key}, c.id); !errors.Is(err, c.want) {
			t.Errorf("Planning(%q, %q) = %v, want %v", c.key, c.id, err, c.want)
		}
	}
	// A job that is over gives nothing, and neither does the key of a machine without one.
	if _, err := r.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	p := Proof{Key: "ada"}
	_, _, planning := r.Planning(ctx, p, own.Spec.ID)
	_, streaming := r.Streaming(ctx, p)
	_, asking := r.Asking(ctx, p)
	_, give := r.Give(ctx, p, own.Spec.ID, false)
	for name, err := range map[string]error{"Planning": planning, "Streaming": streaming, "Asking": asking,
		"Give": give} {
		if !errors.Is(err, ErrOver) {
			t.Errorf("%s() after the job = %v, want ErrOver", name, err)
		}
	}
	// An install is for boots: the key of an installed system does not carry it out.
	if _, _, err := r.Install(ctx, macA, order()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Streaming(ctx, Proof{Key: "ada"}); !errors.Is(err, ErrOver) {
		t.Errorf("Streaming() of an install by key = %v, want ErrOver", err)
	}
}

// TestReportsAreBounded: what one check-in adds to the journal and to the record of its machine is little, and the
// journal is trimmed like all others (TestJournalsAreBounded).
func TestReportsAreBounded(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	j := r.order(macA)
	long := strings.Repeat("x", 4000)
	size := func() (n int64) {
		if err := r.db.QueryRow("SELECT sum(size) FROM events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 3 {
		before := size()
		in := job.CheckIn{Root: fmt.Sprint(i, long), Trouble: fmt.Sprint(i, long),
			Job: &job.JobReport{ID: j.Spec.ID, State: job.Started, Message: fmt.Sprint(i, long), Kernel: long,
				Progress: &job.Progress{Ways: &job.Ways{Now: long, Why: long}}},
			Fell: &job.Fell{Root: long, Reason: fmt.Sprint(i, long), Lines: slicesOf(long, 50)}}
		for range 50 {
			in.Roots = append(in.Roots, job.Root{Name: long, Image: long})
		}
		r.checkIn("ada", in)
		if n := size() - before; n > 8<<10 {
			t.Errorf("one check-in adds %d bytes to the journal", n)
		}
	}
	if n := len(encode(r.show(macA).Machine)); n > 16<<10 {
		t.Errorf("the record of the machine has %d bytes", n)
	}
}

func slicesOf(s string, n int) (out []string) {
	for range n {
		out = append(out, s)
	}
	return out
}
