package fleet

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestBegunKey: a reinstall that keeps the pool leaves the key of its boot there. When the power fails before the new
// root is made, the system of before checks in with that key, also after the job is cancelled; an install that is done
// leaves its own key alone.
func TestBegunKey(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	m := installed(t, f, "ada", macA)
	knows := func(want bool, keys ...string) {
		t.Helper()
		for _, key := range keys {
			c.pass(time.Minute)
			got, err := f.CheckIn(ctx, stranger, key, job.CheckIn{})
			if want && (err != nil || got.Machine.ID != m.ID) || !want && !errors.Is(err, ErrKey) {
				t.Errorf("CheckIn() with the key %s = %s, %v; want it known: %v", key, got.Machine.Name, err, want)
			}
		}
	}
	begin := func(key string) (Proof, string, string) {
		t.Helper()
		boot := uuid.NewString()
		g := prove(t, f, key, boot, macA)
		if g.Job == nil {
			t.Fatal("the hello gets no job")
		}
		knows(false, key)
		if _, err := f.Append(ctx, Proof{g.Token, key}, job.Events{Boot: boot, Events: []job.Event{
			{Seq: 1, Job: g.Job.Spec.ID, State: job.Started, Disk: "S1"}}}); err != nil {
			t.Fatal(err)
		}
		return Proof{g.Token, key}, boot, g.Job.Spec.ID
	}
	order := func() {
		t.Helper()
		if _, _, err := f.Install(ctx, macA, order()); err != nil {
			t.Fatal(err)
		}
	}
	order()
	begin("eve")
	begin("bob") // the boot after a power cut
	knows(true, "ada", "eve", "bob")
	if _, err := f.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	knows(true, "ada", "eve", "bob")
	order()
	for i := range 8 { // more than are kept
		begin(fmt.Sprint("boot", i))
	}
	knows(false, "eve", "bob")
	p, boot, id := begin("zoe")
	if _, err := f.Append(ctx, p, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 2, Job: id, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	knows(false, "ada", "boot7")
	knows(true, "zoe")
}
