package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

func count(t *testing.T, f *Fleet, query string, args ...any) (n int64) {
	t.Helper()
	if err := f.db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStrangersLeaveRoom: however many hellos come, from one address or from many, sightings stay below their bounds,
// the address that has the most loses its own, machines that operators named stay, and a new one can be ordered.
func TestStrangersLeaveRoom(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	f.max.sightings, f.max.perSource = 256, 16
	deploy(t, f, victim, uuidA)
	honest := say(t, f, "10.0.0.9", "", uuid.NewString(), macB)
	n := 0
	for source := range f.max.sightings/f.max.perSource + 2 {
		for range f.max.perSource + 1 {
			n++
			say(t, f, fmt.Sprintf("10.66.0.%d", source), "", uuid.NewString(),
				fmt.Sprintf("52:54:01:%02x:%02x:%02x", n>>16, n>>8&255, n&255))
		}
	}
	if got := count(t, f, "SELECT count(*) FROM machines WHERE rank = 0"); int(got) > f.max.sightings {
		t.Errorf("%d sightings, more than %d", got, f.max.sightings)
	}
	if got := count(t, f, "SELECT max(n) FROM (SELECT count(*) AS n FROM machines WHERE rank = 0 "+
		"GROUP BY source)"); int(got) > f.max.perSource {
		t.Errorf("%d sightings of one address, more than %d", got, f.max.perSource)
	}
	if _, err := f.Session(ctx, honest.proof()); err != nil {
		t.Errorf("the honest address's one sighting is gone: %v", err)
	}
	if v, _, err := f.Show(ctx, victim); err != nil || v.Status() != "deployed" {
		t.Errorf("the deployed machine is %q, %v", v.Status(), err)
	}
	if _, _, err := f.Install(ctx, "52:54:00:00:00:0e", order()); err != nil {
		t.Errorf("Install() of a new machine = %v", err)
	}
	// One address with ever other UUIDs.
	for range 3 * maxPerMAC {
		say(t, f, stranger, uuid.NewString(), uuid.NewString(), "52:54:00:00:00:0f")
	}
	if got := count(t, f, "SELECT count(*) FROM macs WHERE mac = '52:54:00:00:00:0f'"); got > maxPerMAC {
		t.Errorf("%d sightings with one address, more than %d", got, maxPerMAC)
	}
}

// TestChoicesLeaveRoom: choices at screens are bounded too, and those whose boots are under way are not lost for
// others.
func TestChoicesLeaveRoom(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	f.max.touched = 64
	choose := func(n int) error {
		g := say(t, f, "10.66.0.1", "", uuid.NewString(), fmt.Sprintf("52:54:01:00:%02x:%02x", n>>8, n&255))
		_, _, err := f.Choose(ctx, g.proof(), order())
		return err
	}
	for n := range f.max.touched {
		if err := choose(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := choose(f.max.touched); !errors.Is(err, ErrFull) {
		t.Errorf("Choose() beyond the bound = %v, want ErrFull", err)
	}
	if _, _, err := f.Install(ctx, victim, order()); err != nil {
		t.Errorf("Install() of a new machine = %v", err)
	}
	c.pass(silence + time.Minute)
	if err := choose(f.max.touched); err != nil {
		t.Errorf("Choose() when the others are silent = %v", err)
	}
	if got := count(t, f, "SELECT count(*) FROM machines WHERE rank = 1"); int(got) > f.max.touched {
		t.Errorf("%d touched machines, more than %d", got, f.max.touched)
	}
}

// hoard is the largest inventory that a hello can hold.
func hoard() job.Inventory {
	var v job.Inventory
	long := strings.Repeat("<", 128) // six bytes each in JSON
	for range 128 {
		d := job.Disk{Path: long, Model: long, Serial: long, Bus: long, Table: long, Signature: long,
			Label: long, Size: 1}
		for range 4 {
			d.Partitions = append(d.Partitions, job.Partition{Name: long, Type: long, Filesystem: long, Label: long})
		}
		v.Disks = append(v.Disks, d)
	}
	return v.Bounded()
}

// TestInventoriesAreBounded: one stranger's inventory, all strangers' together, and that a list loads none of them.
func TestInventoriesAreBounded(t *testing.T) {
	c := newClock()
	f := open(t, Options{Now: c.now})
	f.max.strangerInventories = 4 << 20
	v := shrinkInventory(hoard(), 60<<10)
	const n = 210 // of 60 KiB: more than all strangers may have here
	for i := range n {
		c.pass(time.Second)
		h := hello("", uuid.NewString(), fmt.Sprintf("52:54:01:00:%02x:%02x", i>>8, i&255))
		h.Inventory = v
		if _, err := f.Hello(t.Context(), fmt.Sprintf("10.66.0.%d", i/100), "", h); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, f, "SELECT max(size) FROM inventories"); got > strangerInventory || got < strangerInventory/8 {
		t.Errorf("the largest inventory has %d bytes, want at most %d and most of that", got, strangerInventory)
	}
	if got := count(t, f, "SELECT sum(size) FROM inventories"); got > f.max.strangerInventories+checkEvery {
		t.Errorf("all inventories have %d bytes, more than %d", got, f.max.strangerInventories)
	}
	one := hello("", uuid.NewString(), "52:54:02:00:00:01")
	one.Inventory = hoard()
	if _, err := f.Hello(t.Context(), stranger, "", one); err != nil {
		t.Fatal(err)
	}
	if got := count(t, f, "SELECT max(size) FROM inventories"); got > strangerInventory {
		t.Errorf("the largest inventory has %d bytes, more than %d", got, strangerInventory)
	}
	page, next, err := f.List(t.Context(), nil, "", 0)
	if err != nil || len(page) != MaxPage || next != page[MaxPage-1].Machine.Name {
		t.Fatalf("List() has %d machines and goes on after %q, %v", len(page), next, err)
	}
	if size := len(encode(page)); size > MaxPage*2048 {
		t.Errorf("a page of %d machines has %d bytes", len(page), size)
	}
}

func TestFit(t *testing.T) {
	small := job.Inventory{Memory: 1, Disks: []job.Disk{{Path: "/dev/vda", Partitions: []job.Partition{{Number: 1}}}}}
	if got := shrinkInventory(small, strangerInventory); got.Cut || len(got.Disks[0].Partitions) != 1 {
		t.Errorf("fit() of a small one = %+v", got)
	}
	for _, limit := range []int{orderedInventory, strangerInventory, 4096, 200} {
		if got := shrinkInventory(hoard(), limit); !got.Cut || len(encode(got)) > limit {
			t.Errorf("fit(%d) has %d bytes", limit, len(encode(got)))
		}
	}
}

// TestJournalsAreBounded: the longest events that an agent can send, in a stranger's machine and in all of them.
func TestJournalsAreBounded(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	f.max.strangerJournals = 1 << 20
	long := strings.Repeat("<", 400)
	var evs []job.Event
	for i := range job.MaxEvents {
		evs = append(evs, job.Event{Seq: uint64(i + 1), Message: long, Disk: long,
			Progress: &job.Progress{Ways: &job.Ways{Why: strings.Repeat("<", 100_000)}}})
	}
	for i := range 12 {
		boot := uuid.NewString()
		g := say(t, f, stranger, "", boot, fmt.Sprintf("52:54:01:00:00:%02x", i))
		limit := int64(sightingJournal)
		if i%2 == 0 {
			if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
				t.Fatal(err)
			}
			limit = touchedJournal
		}
		send(t, f, g, boot, evs...)
		const between = 16 * 8 << 10 // what may come between two looks
		if got := count(t, f, "SELECT sum(size) FROM events WHERE machine = ?", g.Machine.ID); got > limit+between {
			t.Fatalf("the journal of one machine has %d bytes, more than %d", got, limit)
		}
	}
	if got := count(t, f, "SELECT sum(size) FROM events"); got > f.max.strangerJournals+checkEvery {
		t.Errorf("all journals have %d bytes, more than %d", got, f.max.strangerJournals)
	}
	if got := count(t, f, "SELECT max(size) FROM events"); got > 8<<10 {
		t.Errorf("an event has %d bytes", got)
	}
}

// TestBootsAreBounded: hellos of ever other boots of one machine.
func TestBootsAreBounded(t *testing.T) {
	f := open(t, Options{})
	for range 3 * maxBoots {
		say(t, f, stranger, "", uuid.NewString(), victim)
	}
	if got := count(t, f, "SELECT count(*) FROM boots"); got > maxSeenBoots {
		t.Errorf("%d boots of a sighting, more than %d", got, maxSeenBoots)
	}
}

// TestNoSpareDisk: below what must stay free nothing is written down of strangers; machines boot all the same, and
// those that operators named say hello and report.
func TestNoSpareDisk(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Spare: 1 << 62})
	if _, _, err := f.Install(ctx, victim, order()); err != nil {
		t.Fatal(err)
	}
	if got := boots(t, f, macB); got != netboot.Menu {
		t.Errorf("a machine that is not known boots %v, want the menu", got)
	}
	if _, err := f.Hello(ctx, stranger, "", hello("", uuid.NewString(), macB)); !errors.Is(err, ErrDiskFull) {
		t.Errorf("Hello() of a stranger = %v, want ErrDiskFull", err)
	}
	if got := boots(t, f, victim); got != netboot.Agent {
		t.Errorf("the machine with an order boots %v, want the agent", got)
	}
	if g := say(t, f, "10.0.0.9", "", uuid.NewString(), victim); g.Job == nil {
		t.Error("the machine with an order does not get it")
	}
	hw := netboot.Machine{MAC: []byte{0x52, 0x54, 0, 0, 0, 0x0b}}
	f.Refused(hw, "the state disk is full")
	if n := f.Notices(); len(n) != 1 || !strings.Contains(n[0], macB) || !strings.Contains(n[0], "state disk is full") {
		t.Errorf("Notices() = %v, want the refusal that could not be written down", n)
	}
	for i := range 10 * maxUnwritten {
		hw.MAC = []byte{0x52, 0x54, 0, 1, byte(i >> 8), byte(i)}
		f.Refused(hw, "x")
	}
	if n := f.Notices(); len(n) > maxUnwritten {
		t.Errorf("%d notices, more than %d", len(n), maxUnwritten)
	}
}

// TestKeepEvents: entries of journals that are older than the configuration says are deleted, and no others.
func TestKeepEvents(t *testing.T) {
	r := newRoom(t, Options{KeepEvents: 48 * time.Hour})
	ctx := t.Context()
	add := func(n int) {
		t.Helper()
		for range n {
			place := fmt.Sprint(r.c.now().UnixNano())
			r.c.pass(time.Second)
			if _, err := r.Relabel(ctx, []Change{{Key: macA, Place: &place}}, true, false, fine); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(40)
	r.c.pass(47 * time.Hour)
	add(40)
	if n := count(t, r.Fleet, "SELECT count(*) FROM events"); n != 80 {
		t.Errorf("before the time there are %d events, want all 80", n)
	}
	r.c.pass(2 * time.Hour)
	add(16)
	if n := count(t, r.Fleet, "SELECT count(*) FROM events"); n != 56 {
		t.Errorf("after it there are %d events, want 56", n)
	}
	r.Reconfigure(Options{})
	r.c.pass(1000 * time.Hour)
	add(16)
	if n := count(t, r.Fleet, "SELECT count(*) FROM events"); n != 72 {
		t.Errorf("without a limit there are %d events, want 72", n)
	}
}
