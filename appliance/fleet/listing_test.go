package fleet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/fleet/filter"
	"griddle/appliance/fleet/life"
	"griddle/appliance/job"
	"griddle/netboot"
)

// listed compares what lists are chosen by with what it is made of.
func listed(t *testing.T, f *Fleet, all []View) {
	t.Helper()
	for _, v := range all {
		fresh, jobs, err := f.Show(t.Context(), v.Machine.ID)
		if err != nil {
			t.Fatal(err)
		}
		var name, state, status, group string
		if err := f.db.QueryRow("SELECT name, state, status, grp FROM listing WHERE machine = ?",
			v.Machine.ID).Scan(&name,
			&state, &status, &group); err != nil {
			t.Fatal(err)
		}
		facts, _ := fresh.facts(jobs, f.o.Now())
		want := facts.State()
		if name != v.Machine.Name || life.State(state) != want || v.State != want || status != fresh.Status() ||
			v.Status() != fresh.Status() || group != v.Machine.Group {
			t.Errorf("%s is listed as %q, %q, %q, of the group %q; it is %q, %q", v.Machine.Name, name, state, status,
				group,
				want, fresh.Status())
		}
	}
}

// TestListingFollows: whatever happens to machines, the list says at once what is so, and each change of a state is a
// step of package life.
func TestListingFollows(t *testing.T) {
	ctx, seen := t.Context(), map[[2]life.State]bool{}
	for seed := range uint64(3) {
		r := newRoom(t, Options{})
		dice := rand.New(rand.NewPCG(seed, 1))
		macs := []string{macA, macB, "52:54:00:00:00:0c"}
		boot, greeted := map[string]string{}, map[string]Greeting{}
		was, names := map[string]life.State{}, map[string]string{}
		started := map[string]string{}
		for n := range 250 {
			mac := macs[dice.IntN(len(macs))]
			key := "key of " + mac
			v, jobs, err := r.Show(ctx, mac)
			id := ""
			if err == nil {
				if j := ordered(jobs); j != nil {
					id = j.Spec.ID
				} else if len(jobs) > 0 {
					id = jobs[0].Spec.ID
				}
			}
			does := ""
			event := func(ev job.Event) {
				ev.Job = id
				var seq uint64
				_ = r.db.QueryRow("SELECT seq FROM boots WHERE boot = ?", boot[mac]).Scan(&seq)
				ev.Seq = seq + 1
				r.Append(ctx, Proof{greeted[mac].Token, key}, job.Events{Boot: boot[mac], Events: []job.Event{ev}})
			}
			switch dice.IntN(17) {
			case 0:
				does = "netboot"
				hw, _ := net.ParseMAC(mac)
				r.Boot(ctx, netboot.Machine{MAC: hw})
			case 1, 2:
				does, boot[mac] = "hello", uuid.NewString()
				greeted[mac], _ = r.Hello(ctx, "10.0.0.9", key, hello("", boot[mac], mac))
			case 3:
				does = "order"
				r.Install(ctx, mac, order())
			case 4:
				does = "update"
				r.Install(ctx, mac, update())
			case 5:
				does = "order an erase"
				r.Install(ctx, mac, Order{Kind: job.Erase, Erase: "S1"})
			case 6, 7:
				does, started[mac] = "start", id
				event(job.Event{State: job.Started, Disk: "S1", Certificate: certificate(id, id, "")})
			case 8, 9:
				does = "done"
				event(job.Event{State: job.Done})
			case 10:
				does = "fail"
				event(job.Event{State: job.Failed, Message: "x"})
			case 11:
				does = "home"
				r.Home(ctx, greeted[mac].Home, job.HomeReport{Root: "@roots/web-1"})
			case 12, 13:
				does = "check in"
				r.c.pass(5 * time.Second)
				in := job.CheckIn{Root: "@roots/web-1", Features: []string{job.FeatureUpdate}}
				if len(jobs) > 0 && jobs[0].Spec.Kind == job.Update && dice.IntN(2) == 0 {
					in.Job = &job.JobReport{ID: jobs[0].Spec.ID, State: []job.State{job.Started, job.Done,
						job.Failed}[dice.IntN(3)]}
				}
				r.CheckIn(ctx, "10.0.0.7", key, in)
			case 14:
				does = "cancel"
				r.Cancel(ctx, mac)
			case 15:
				does = "time"
				r.c.pass(time.Duration(dice.IntN(30)) * time.Minute)
			case 16:
				switch does = "choose"; {
				case dice.IntN(3) == 0:
					r.Choose(ctx, Proof{greeted[mac].Token, key}, order())
				case v.Machine.Retired == nil && dice.IntN(2) == 0:
					does = "retire"
					r.Retire(ctx, mac)
				default:
					does = "reuse"
					r.Reuse(ctx, mac)
				}
			}
			all, _, err := r.List(ctx, nil, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			if n%10 == 0 {
				listed(t, r.Fleet, all)
			}
			for _, v := range all {
				from := was[v.Machine.ID]
				if from != v.State {
					seen[[2]life.State{from, v.State}] = true
					if v.Why() == "" || life.Why(from, v.State) == "" {
						t.Errorf("seed %d: %s made %s from %q to %q, which is no step", seed, does, v.Machine.Name,
							from, v.State)
					}
				}
				was[v.Machine.ID], names[v.Machine.ID] = v.State, v.Machine.Name
			}
			if t.Failed() {
				_, jobs, _ := r.Show(ctx, mac)
				for _, j := range jobs {
					t.Logf("%s of a %s, %s, started on %q", j.Spec.Kind, j.Origin, j.State, j.Spec.Started)
				}
				t.FailNow()
			}
		}
	}
	for _, s := range life.Steps {
		for _, from := range s.From {
			if !seen[[2]life.State{from, s.To}] {
				t.Logf("not seen here: %q to %q", from, s.To)
			}
		}
	}
}

// value is what a machine has for a key of a filter, as a person reads the documentation of package filter.
func values(v View, g Group) map[filter.Key][]string {
	m := v.Machine
	one := func(s string) []string { return []string{strings.ToLower(s)} }
	return map[filter.Key][]string{filter.Name: one(m.Name), filter.State: one(string(v.State)),
		filter.Status: one(v.Status()), filter.Group: one(m.Group), filter.Role: one(g.Role), filter.Tag: m.Tags,
		filter.Place: one(m.Place), filter.Image: one(v.image()), filter.MAC: m.Identity.MACs,
		filter.Model: one(strings.TrimSpace(m.Identity.Vendor + " " + m.Identity.Product))}
}

// TestFilters: of machines with hostile values, each filter finds those that match it one by one, on all pages.
func TestFilters(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	hostile := []string{"", "web", "50%_off", `back\slash`, "it's", `a"b`, "room 2", "ÄRGER", "é", "WEB", "we.b"}
	groups := map[string]Group{"": {}}
	for _, name := range []string{"lab1", "lab2"} {
		g, err := f.ChangeGroup(ctx, name, true, func(g *Group) error { g.Role = "role-" + name; return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		groups[name] = g
	}
	fits := func(Declared) error { return nil }
	for i := range 60 {
		mac := fmt.Sprintf("52:54:00:00:02:%02x", i)
		h := hello("", uuid.NewString(), mac)
		h.Identity.Vendor = hostile[i%len(hostile)]
		if _, err := f.Hello(ctx, "10.0.0.9", "", h); err != nil {
			t.Fatal(err)
		}
		group, place := []string{"", "lab1", "lab2"}[i%3], strings.TrimSpace(hostile[(i/2)%len(hostile)])
		c := Change{Key: mac, Group: &group, Place: &place}
		for j, tag := range []string{"spare", "gpu", "rack:3"} {
			if i&(1<<j) != 0 {
				c.Add = append(c.Add, tag)
			}
		}
		if i%5 == 0 {
			continue // nobody wrote anything about it
		}
		if _, err := f.Relabel(ctx, []Change{c}, false, false, fits); err != nil {
			t.Fatal(err)
		}
	}
	all := list(t, f)
	for _, text := range []string{"", "state=ready", "state=discovered tag=", "tag=spare", "tag!=spare",
		"tag=spare,gpu",
		"tag=rack:*", "tag!=spare,gpu group=lab1", "group=", "group!=", "role=role-lab2", `place="50%_off"`,
		"place=50*",
		`place="room ?"`, "place=*\\*", "place=it's", "model=web", "model=we?", "model=ärger", "mac=52:54:00:00:02:0?",
		"mac!=*", "name=NODE-*", "state=*e* group=lab?", "status=known,new", "place=é state!=ready", "image="} {
		where, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, v := range all {
			have := values(v, groups[v.Machine.Group])
			if !slices.ContainsFunc(where, func(term filter.Term) bool { return !matches(term, have[term.Key]) }) {
				want = append(want, v.Machine.Name)
			}
		}
		for after := ""; ; {
			page, next, err := f.List(ctx, where, after, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page {
				got = append(got, v.Machine.Name)
			}
			if after = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q finds %q, want %q", text, got, want)
		}
		t.Logf("%q finds %d of %d", text, len(got), len(all))
	}
	for text, want := range map[string]int{"spare": 0, "node-525400000201": 1, "00:02:0": 16, "%": 0, "50%": 0} {
		where, _ := filter.Parse(text)
		page, _, err := f.List(ctx, where, "", 0)
		if n := len(page); err != nil || n < want || want == 0 && text == "%" && n > 12 {
			t.Errorf("the word %q finds %d, %v, want %d", text, n, err, want)
		}
	}
}

// matches is what a term means, without SQL.
func matches(term filter.Term, have []string) bool {
	fold := strings.NewReplacer("/", "\x00", "[", "\\[", `\`, `\\`)
	hit := slices.ContainsFunc(term.Any, func(p filter.Pattern) bool {
		if p == "" && (len(have) == 0 || len(have) == 1 && have[0] == "") {
			return true
		}
		return slices.ContainsFunc(have, func(s string) bool {
			ok, err := path.Match(fold.Replace(string(p)), strings.ReplaceAll(s, "/", "\x00"))
			return ok && err == nil
		})
	})
	return hit != term.Not
}

// BenchmarkList makes a page of 200 from 5,000 machines with systems, services, tags and 200,000 events.
func BenchmarkList(b *testing.B) {
	f := crowd(b, 5000)
	for _, text := range []string{"", "state=deployed group=lab1", "tag=spare image=web:*", "node-5254000010 lab",
		"state=broken"} {
		where, err := filter.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := f.List(b.Context(), where, "", MaxPage); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// crowd is a fleet of n deployed machines. Their rows are copies of the first's.
func crowd(b *testing.B, n int) *Fleet {
	b.Helper()
	ctx := b.Context()
	f, err := Open(ctx, b.TempDir()+"/fleet.db", Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := f.db.Exec("PRAGMA synchronous = OFF"); err != nil {
		b.Fatal(err)
	}
	if _, err := f.ChangeGroup(ctx, "lab1", true, func(*Group) error { return nil }, nil); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		mac := fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&255)
		m, j, err := f.Install(ctx, mac, order())
		if err != nil {
			b.Fatal(err)
		}
		boot := uuid.NewString()
		g, err := f.Hello(ctx, "10.0.0.9", "", hello("", boot, mac))
		if err != nil {
			b.Fatal(err)
		}
		events := []job.Event{{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"}}
		for k := range 36 {
			events = append(events, job.Event{Seq: uint64(k + 2), Job: j.Spec.ID, Message: "a line of the journal"})
		}
		events = append(events, job.Event{Seq: 38, Job: j.Spec.ID, State: job.Done})
		if _, err := f.Append(ctx, g.proof(), job.Events{Boot: boot, Events: events}); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Home(ctx, g.Home, job.HomeReport{Hostname: m.Name, Kernel: "6.1"}); err != nil {
			b.Fatal(err)
		}
		group := "lab1"
		if _, err := f.Relabel(ctx, []Change{{Key: mac, Group: &group, Add: []string{"spare", "gpu"}}}, false, false,
			func(Declared) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	return f
}
