package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// keep adds a record of the boot of g to the job.
func keep(t *testing.T, f *Fleet, g Greeting, id string, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := f.Record(t.Context(), g.proof(), id, []byte(r)); err != nil {
			t.Fatalf("Record(%.60s) = %v", r, err)
		}
	}
}

// kept are all records of the job, as the boot of g gets them in pages of at most most bytes.
func kept(t *testing.T, f *Fleet, g Greeting, id string, most int) (all []string) {
	t.Helper()
	for after := 0; ; {
		page, err := f.Records(t.Context(), g.proof(), id, after, most)
		if err != nil {
			t.Fatalf("Records() = %v", err)
		}
		for _, r := range page.All {
			all = append(all, string(r))
		}
		if after = page.Next; after == 0 {
			return all
		}
	}
}

// TestRecords follows the records of a job through a restart of the server, a power cut of the machine and its end.
func TestRecords(t *testing.T) {
	c, ctx := newClock(), t.Context()
	file := filepath.Join(t.TempDir(), "fleet.db")
	f, err := Open(ctx, file, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { f.Close() }()
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	id := j.Spec.ID
	first := say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	if all := kept(t, f, first, id, 1); all != nil {
		t.Errorf("before the first record there are %q", all)
	}
	// As they are, in their order; the last one again is the same, an earlier one again is another.
	keep(t, f, first, id, `{"a":1}`, ` {"b": "<>&\u2028"} `, `{"b": "<>&\u2028"}`, `{"a":1}`)
	want := `{"a":1} {"b": "<>&\u2028"} {"a":1}`
	for _, most := range []int{1, 30, 1 << 20} {
		if got := strings.Join(kept(t, f, first, id, most), " "); got != want {
			t.Errorf("the records in pages of %d bytes are %s, want %s", most, got, want)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(ctx, file, Options{Now: c.now}); err != nil {
		t.Fatal(err)
	}
	// The machine loses its power. The next boot reads at once, and adds when the first one was silent for a minute.
	next := say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	if got := strings.Join(kept(t, f, next, id, 1), " "); got != want {
		t.Errorf("the next boot reads %s, want %s", got, want)
	}
	if err := f.Record(ctx, next.proof(), id, []byte(`{}`)); !errors.Is(err, ErrBusy) {
		t.Errorf("Record() of a second boot = %v, want ErrBusy", err)
	}
	c.pass(carrying + time.Second)
	keep(t, f, next, id, `{"c":3}`)
	if err := f.Record(ctx, first.proof(), id, []byte(`{}`)); !errors.Is(err, ErrBusy) {
		t.Errorf("Record() of the first boot again = %v, want ErrBusy", err)
	}
	boot := uuid.NewString()
	c.pass(carrying + time.Second)
	last := say(t, f, "10.0.0.9", "", boot, macA)
	send(t, f, last, boot, job.Event{Seq: 1, Job: id, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: id, State: job.Failed, Message: "the cable"})
	if err := f.Record(ctx, last.proof(), id, []byte(`{}`)); !errors.Is(err, ErrOver) {
		t.Errorf("Record() of a job that failed = %v, want ErrOver", err)
	}
	// A later job of the machine may read what the one that failed left.
	_, later, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(kept(t, f, last, id, 1), " "); got != want+` {"c":3}` {
		t.Errorf("the boot of the next job reads %s of the last one", got)
	}
	keep(t, f, last, later.Spec.ID, `{"d":4}`)
	send(t, f, last, boot, job.Event{Seq: 3, Job: later.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 4, Job: later.Spec.ID, State: job.Done})
	if n := count(t, f, "SELECT count(*) FROM records WHERE job = ?", later.Spec.ID); n != 0 {
		t.Errorf("%d records are left of a job that is done", n)
	}
	if _, err := f.Delete(ctx, macA, false); err != nil {
		t.Fatal(err)
	}
	if n := count(t, f, "SELECT count(*) FROM records") + count(t, f, "SELECT count(*) FROM recorded"); n != 0 {
		t.Errorf("%d records are left of a machine that was deleted", n)
	}
}

// TestRecordsAreOfTheirMachine: who has no job, another job or another machine's neither reads nor adds.
func TestRecordsAreOfTheirMachine(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := f.Install(ctx, macB, order())
	if err != nil {
		t.Fatal(err)
	}
	owner := say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	keep(t, f, owner, j.Spec.ID, `{"secret":1}`)
	for name, who := range map[string]Proof{
		"a wrong token":       {Token: "x"},
		"no token":            {},
		"another machine":     say(t, f, "10.0.0.8", "", uuid.NewString(), macB).proof(),
		"a boot without jobs": say(t, f, stranger, "", uuid.NewString(), "52:54:00:00:00:77").proof(),
	} {
		want := ErrOver
		if strings.Contains(name, "token") {
			want = ErrToken
		}
		if err := f.Record(ctx, who, j.Spec.ID, []byte(`{}`)); !errors.Is(err, want) {
			t.Errorf("Record() of %s = %v, want %v", name, err, want)
		}
		if page, err := f.Records(ctx, who, j.Spec.ID, 0, 1<<20); !errors.Is(err, want) || page.All != nil {
			t.Errorf("Records() of %s = %s, %v, want %v", name, page.All, err, want)
		}
	}
	for _, id := range []string{other.Spec.ID, "", "x", uuid.NewString()} {
		if err := f.Record(ctx, owner.proof(), id, []byte(`{}`)); !errors.Is(err, ErrOver) {
			t.Errorf("Record() for the job %q = %v, want ErrOver", id, err)
		}
	}
	f.Reconfigure(Options{Enrolment: EnrolApprove})
	if _, err := f.Records(ctx, say(t, f, "10.0.0.9", "", uuid.NewString(), macA).proof(), j.Spec.ID, 0,
		1); !errors.Is(err, ErrOver) {
		t.Errorf("Records() of a boot that waits for approval = %v, want ErrOver", err)
	}
}

// TestRecordLimits: what a record and a job may have.
func TestRecordLimits(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	id, g := j.Spec.ID, say(t, f, "10.0.0.9", "", uuid.NewString(), macA)
	big := func(n int, last byte) []byte {
		b := bytes.Repeat([]byte{' '}, n)
		copy(b, `{"x":"`)
		b[n-3], b[n-2], b[n-1] = last, '"', '}'
		return b
	}
	large := big(job.MaxRecord, 'y')
	for i := 6; i < len(large)-3; i++ {
		large[i] = 'x'
	}
	for name, bad := range map[string][]byte{"nothing": nil, "spaces": []byte("  "), "a number": []byte("1"),
		"null": []byte("null"), "a list": []byte("[{}]"), "two": []byte("{}{}"), "a part": []byte(`{"a":`),
		"nested": []byte(strings.Repeat(`{"a":`, 100_000)), "too large": append(big(job.MaxRecord, 'y'), '}'),
		"no JSON": {0xff, 0xfe}} {
		if err := f.Record(ctx, g.proof(), id, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("Record() of %s = %v, want ErrInvalid", name, err)
		}
	}
	n := 0
	for ; n < 8; n++ {
		large[10] = byte('a' + n)
		if err := f.Record(ctx, g.proof(), id, large); err != nil {
			t.Fatalf("record %d of the largest: %v", n, err)
		}
	}
	if err := f.Record(ctx, g.proof(), id, big(100, 'y')); !errors.Is(err, ErrRecords) {
		t.Errorf("Record() beyond %d bytes = %v, want ErrRecords", job.MaxRecordBytes, err)
	}
	if got := kept(t, f, g, id, 4<<20); len(got) != n || got[n-1] != string(large) {
		t.Errorf("%d records come back, want %d", len(got), n)
	}
	if _, err := f.db.Exec("DELETE FROM recorded"); err != nil {
		t.Fatal(err)
	}
	// The first of many are put there in another way, which takes less time.
	for _, many := range []string{"INSERT INTO recorded (job, count, bytes, changed) VALUES (?1, ?2, ?2 * 14, 0)",
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
			INSERT INTO records (job, number, data) SELECT ?1, i + 1, CAST('{"step":' || i || '}' AS BLOB) FROM n`} {
		if _, err := f.db.Exec(many, id, job.MaxRecords-10); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		keep(t, f, g, id, fmt.Sprintf(`{"step":%d}`, job.MaxRecords-10+i))
	}
	if err := f.Record(ctx, g.proof(), id, []byte(`{}`)); !errors.Is(err, ErrRecords) {
		t.Errorf("Record() beyond %d = %v, want ErrRecords", job.MaxRecords, err)
	}
	keep(t, f, g, id, fmt.Sprintf(`{"step":%d}`, job.MaxRecords-1)) // the last one again
	if got := kept(t, f, g, id, 1000); len(got) != job.MaxRecords || got[1234] != `{"step":1234}` {
		t.Errorf("%d records come back, want %d", len(got), job.MaxRecords)
	}
}

// TestRecordsLeaveRoom: strangers fill what they may have and no more, one address its share alone; what a live job
// has stays, and the oldest of those that ended goes for a new one.
func TestRecordsLeaveRoom(t *testing.T) {
	c, ctx := newClock(), t.Context()
	f := open(t, Options{Now: c.now})
	f.max.allRecords, f.max.strangerRecords, f.max.sourceRecords, f.max.recorded = 10_000, 6000, 3000, 5
	text := func(n int, name string) string { return `{"x":"` + name + strings.Repeat("x", n-8-len(name)) + `"}` }
	type one struct {
		Greeting
		id, boot string
	}
	n := 0
	chosen := func(source string) one {
		n++
		boot := uuid.NewString()
		g := say(t, f, source, "", boot, fmt.Sprintf("52:54:01:00:00:%02x", n))
		j, _, err := f.Choose(ctx, g.proof(), order())
		if err != nil {
			t.Fatal(err)
		}
		return one{g, j.Spec.ID, boot}
	}
	add := func(who one, size int) error {
		n++
		return f.Record(ctx, who.proof(), who.id, []byte(text(size, fmt.Sprint(n))))
	}
	a := chosen("10.66.0.1")
	if err := errors.Join(add(a, 1500), add(a, 1500)); err != nil {
		t.Fatal(err)
	}
	again := chosen("10.66.0.1")
	for _, who := range []one{a, again} {
		if err := add(who, 100); !errors.Is(err, ErrNoRoom) {
			t.Errorf("Record() beyond the share of an address = %v, want ErrNoRoom", err)
		}
	}
	b := chosen("10.66.0.2")
	if err := errors.Join(add(b, 1500), add(b, 1400)); err != nil {
		t.Fatal(err)
	}
	if err := add(chosen("10.66.0.3"), 200); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Record() beyond what strangers have = %v, want ErrNoRoom", err)
	}
	// An operator's machine has what strangers leave.
	_, j, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	own := one{say(t, f, "10.0.0.9", "", boot, macA), j.Spec.ID, boot}
	if err := errors.Join(add(own, 2000), add(own, 2000)); err != nil {
		t.Errorf("Record() of an operator's machine beside strangers = %v", err)
	}
	if err := add(own, 200); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Record() beyond everything = %v, want ErrNoRoom", err)
	}
	// What ended makes room, the oldest first.
	send(t, f, a.Greeting, a.boot, job.Event{Seq: 1, Job: a.id, State: job.Failed})
	if err := add(own, 200); err != nil {
		t.Errorf("Record() when a job ended = %v", err)
	}
	if got := kept(t, f, own.Greeting, own.id, 1<<20); len(got) != 3 {
		t.Errorf("%d records of a live job are left, want 3", len(got))
	}
	if n := count(t, f, "SELECT count(*) FROM records WHERE job = ?", a.id); n != 0 {
		t.Errorf("%d records of the job that ended are left", n)
	}
	if n := count(t, f, "SELECT count(*) FROM records WHERE job = ?", b.id); n != 2 {
		t.Errorf("%d records of a stranger's live job are left, want 2", n)
	}
	// As many jobs as there are, of few bytes each.
	for range 4 {
		if err := add(chosen("10.66.0.9"), 20); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(chosen("10.66.0.8"), 20); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Record() of one job more = %v, want ErrNoRoom", err)
	}
	// A machine with records is not forgotten for others, however long it is silent.
	f.max.touched = 8
	for range 20 {
		c.pass(silence + time.Minute)
		chosen("10.66.0.7")
	}
	if n := count(t, f, "SELECT count(*) FROM records WHERE job = ?", b.id); n != 2 {
		t.Errorf("%d records of a silent machine are left, want 2", n)
	}
	f.o.Spare = 1 << 62
	if err := add(own, 20); !errors.Is(err, ErrDiskFull) {
		t.Errorf("Record() on a full disk = %v, want ErrDiskFull", err)
	}
}
