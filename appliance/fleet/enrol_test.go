package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestApprove: before an operator approves it a boot gets nothing of its machine's job. A computer that claims the same
// address gets nothing afterwards either.
func TestApprove(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Enrolment: EnrolApprove})
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	ada, eve, old := uuid.NewString(), uuid.NewString(), uuid.NewString()
	honest, thief, aged := prove(t, f, "ada", ada, macA), prove(t, f, "eve", eve, macA), prove(t, f, "", old, macA)
	again := prove(t, f, "ada", ada, macA)
	if again.Code != honest.Code || thief.Code == honest.Code || aged.Code != "" {
		t.Errorf("the codes are %q, then %q, %q and %q", honest.Code, again.Code, thief.Code, aged.Code)
	}
	honest = again
	nothing := func(who string, g Greeting, key, boot string) {
		t.Helper()
		by := Proof{g.Token, key}
		if g.Job != nil || g.Home != "" || !g.Waiting || g.Approved {
			t.Errorf("%s's hello gets %+v", who, g)
		}
		if _, err := f.Streaming(ctx, by); !errors.Is(err, ErrOver) {
			t.Errorf("Streaming() of %s = %v, want ErrOver", who, err)
		}
		if _, _, err := f.Choose(ctx, by, order()); !errors.Is(err, ErrUnapproved) {
			t.Errorf("Choose() of %s = %v, want ErrUnapproved", who, err)
		}
		ack, err := f.Append(ctx, by, job.Events{Boot: boot, Events: []job.Event{
			{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"}}})
		if err != nil || !ack.Cancelled {
			t.Errorf("Append() of %s = %+v, %v, want it cancelled", who, ack, err)
		}
		if _, jobs, err := f.Show(ctx, macA); err != nil || jobs[0].State != job.Pending {
			t.Errorf("after the report of %s the job is %+v, %v", who, jobs[0], err)
		}
	}
	nothing("the honest boot", honest, "ada", ada)
	nothing("the thief", thief, "eve", eve)
	nothing("the boot without a key", aged, "", old)
	if v, _, err := f.Show(ctx, macA); err != nil || len(v.Waiting) != 2 {
		t.Errorf("Show() has the waiting boots %+v, %v, want two", v.Waiting, err)
	}
	typed := strings.ToLower(strings.NewReplacer("-", "", "0", "o", "1", "l").Replace(honest.Code))
	if m, err := f.Approve(ctx, macA, typed); err != nil || !m.has(macA) {
		t.Fatalf("Approve(%q) = %+v, %v", typed, m, err)
	}
	if g := prove(t, f, "ada", ada, macA); g.Job == nil || g.Home == "" || g.Waiting ||
		!g.Approved {
		t.Errorf("the approved boot's hello gets %+v", g)
	}
	if g := prove(t, f, "ada", uuid.NewString(), macA); g.Job == nil || !g.Approved {
		t.Error("another boot with the key that is kept gets no job, or is not known as approved")
	}
	nothing("the thief, after the approval", prove(t, f, "eve", eve, macA), "eve", eve)
	if v, _, err := f.Show(ctx, macA); err != nil || len(v.Waiting) != 1 {
		t.Errorf("Show() has the waiting boots %+v, %v, want the thief's", v.Waiting, err)
	}
	entries, err := f.read(ctx, macA, 0, 100)
	for _, e := range entries {
		if strings.Contains(e.Event.Message, honest.Code) || strings.Contains(e.Event.Message, thief.Code) {
			t.Errorf("the journal has a code: %s", e.Event.Message)
		}
	}
	if err != nil || len(entries) == 0 {
		t.Errorf("the journal has %d entries, %v", len(entries), err)
	}
}

// TestApprovalStaysWithItsMachine: an approved boot that then says that it is another machine waits again.
func TestApprovalStaysWithItsMachine(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Enrolment: EnrolApprove})
	for _, mac := range []string{macA, macB} {
		if _, _, err := f.Install(ctx, mac, order()); err != nil {
			t.Fatal(err)
		}
	}
	boot := uuid.NewString()
	if _, err := f.Approve(ctx, macA, prove(t, f, "ada", boot, macA).Code); err != nil {
		t.Fatal(err)
	}
	if g := prove(t, f, "ada", boot, macB); g.Job != nil || !g.Waiting {
		t.Errorf("as another machine it gets %+v", g)
	}
	// The code of a boot approves it for its own machine alone.
	g := prove(t, f, "eve", uuid.NewString(), macB)
	if _, err := f.Approve(ctx, macA, g.Code); !errors.Is(err, ErrCode) {
		t.Errorf("Approve() with the code of another machine's boot = %v, want ErrCode", err)
	}
	if g = prove(t, f, "eve", uuid.NewString(), macA); g.Job != nil {
		t.Error("the boot of another machine is approved")
	}
	// An install that began before the mode was changed continues.
	f.Reconfigure(Options{})
	g = prove(t, f, "bob", boot2, macB)
	by := Proof{g.Token, "bob"}
	start := job.Events{Boot: boot2, Events: []job.Event{{Seq: 1, Job: g.Job.Spec.ID, State: job.Started, Disk: "S1"}}}
	if _, err := f.Append(ctx, by, start); err != nil {
		t.Fatal(err)
	}
	f.Reconfigure(Options{Enrolment: EnrolApprove})
	if _, err := f.Streaming(ctx, by); err != nil {
		t.Errorf("Streaming() of an install that runs = %v", err)
	}
	end := job.Events{Boot: boot2, Events: []job.Event{{Seq: 2, Job: g.Job.Spec.ID, State: job.Done}}}
	if ack, err := f.Append(ctx, by, end); err != nil || ack.Cancelled {
		t.Errorf("Append() of an install that runs = %+v, %v", ack, err)
	}
}

const boot2 = "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02"

// TestWrongCodes has codes that approve nothing, and the limit of guesses.
func TestWrongCodes(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Enrolment: EnrolApprove, Now: c.now})
	g := prove(t, f, "ada", boot2, macA)
	for _, code := range []string{"", "7K4M", "7K4M-QX2DD", "7K4M-QX2U", "ÄÖ4M-QX2D"} {
		if _, err := f.Approve(ctx, macA, code); !errors.Is(err, ErrInvalid) ||
			code != "" && strings.Contains(strings.ReplaceAll(err.Error(), "7K4M-QX2D;", ""), code) {
			t.Errorf("Approve(%q) = %v, want ErrInvalid that does not repeat it", code, err)
		}
	}
	for i := range maxGuesses {
		if _, err := f.Approve(ctx, macA, fmt.Sprintf("0000-000%d", i)); !errors.Is(err, ErrCode) {
			t.Errorf("Approve() with a wrong code = %v, want ErrCode", err)
		}
	}
	if _, err := f.Approve(ctx, macA, g.Code); !errors.Is(err, ErrGuesses) ||
		!strings.Contains(err.Error(), "griddle machine log") {
		t.Errorf("Approve() after %d wrong codes = %v, want ErrGuesses and what to do", maxGuesses, err)
	}
	entries, err := f.read(ctx, macA, 0, 100)
	if err != nil || len(entries) != 1+maxGuesses {
		t.Errorf("the journal has %d entries, %v, want one for each wrong code", len(entries), err)
	}
	c.pass(guessTime)
	if _, err := f.Approve(ctx, macA, g.Code); !errors.Is(err, ErrCode) {
		t.Errorf("Approve() of a boot that was not heard for an hour = %v, want ErrCode", err)
	}
	if _, err := f.Approve(ctx, macA, prove(t, f, "ada", boot2, macA).Code); err != nil {
		t.Errorf("Approve() an hour later = %v", err)
	}
	for i := range 2 * maxKeys {
		boot := uuid.NewString()
		if _, err := f.Approve(ctx, macA, prove(t, f, fmt.Sprint(i), boot, macA).Code); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := f.db.QueryRow("SELECT count(*) FROM keys").Scan(&n); err != nil || n != maxKeys {
		t.Errorf("%d keys are kept, %v, want %d", n, err, maxKeys)
	}
}

// TestClosed: a machine that no operator named is refused and not recorded, unless it has a key that one approved.
func TestClosed(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Enrolment: EnrolApprove})
	g := prove(t, f, "ada", boot2, macA)
	if _, err := f.Approve(ctx, macA, g.Code); err != nil {
		t.Fatal(err)
	}
	f.Reconfigure(Options{Enrolment: EnrolClosed})
	for _, key := range []string{"", "eve"} {
		_, err := f.Hello(ctx, stranger, key, hello("", uuid.NewString(), macB))
		if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "griddle machine install") {
			t.Errorf("Hello() of a new machine with the key %q = %v, want ErrClosed and what to do", key, err)
		}
	}
	if all := list(t, f); len(all) != 1 {
		t.Errorf("%d machines are recorded, want the one that an operator named", len(all))
	}
	for mac, key := range map[string]string{macA: "", macB: "ada"} {
		if _, err := f.Hello(ctx, "10.0.0.9", key, hello("", uuid.NewString(), mac)); err != nil {
			t.Errorf("Hello() from %s with the key %q = %v", mac, key, err)
		}
	}
	if _, _, err := f.Install(ctx, macB, order()); err != nil {
		t.Fatal(err)
	}
	if g := prove(t, f, "eve", uuid.NewString(), macB); g.Job == nil {
		t.Error("a machine that an operator named gets no job")
	}
}

// TestCodes: a code is easy to read aloud, and what a person types is understood.
func TestCodes(t *testing.T) {
	for range 100 {
		code := newCode()
		if got, err := normalCode(" " + strings.ToLower(code)); err != nil || got != code || len(code) != 9 ||
			strings.ContainsAny(code, "ILOU") {
			t.Fatalf("normalCode(%q) = %q, %v", code, got, err)
		}
	}
	if got, err := normalCode("oil0-1olL"); err != nil || got != "0110-1011" {
		t.Errorf("normalCode() = %q, %v", got, err)
	}
}
