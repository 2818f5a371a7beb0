package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
)

// orders is `griddle machine update` against a server that handle is.
type orders struct {
	m         *machines
	client    *api.Client
	out, said bytes.Buffer
}

func newOrders(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, machine string)) *orders {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, strings.Split(r.URL.Path, "/")[3])
	}))
	t.Cleanup(srv.Close)
	conf, err := job.PinnedTLS(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	o := &orders{client: api.NewClient(srv.URL, "t", conf)}
	o.m = &machines{e: &cli.Env{Stdout: &o.out, Stderr: &o.said}}
	return o
}

func (o *orders) run(wait bool, keys ...string) string {
	err := o.m.update(context.Background(), o.client, keys, api.Update{Image: "web"}, wait)
	if err == nil {
		return ""
	}
	return err.Error()
}

func updateJob(id string, s job.State, message string) *fleet.Job {
	return &fleet.Job{Spec: job.Spec{ID: id, Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}}, State: s,
		Message: message}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(job.NewProblem(status, why))
}

// TestWait orders five updates and waits: one is done, one fails after a while, one machine has the image, one is away,
// and the service of one cannot begin. The last two are not waited for.
func TestWait(t *testing.T) {
	var looks atomic.Int32
	since := time.Date(2026, 11, 29, 6, 0, 0, 0, time.Local)
	o := newOrders(t, func(w http.ResponseWriter, r *http.Request, name string) {
		m := api.Machine{Name: name, ID: name}
		pending := func() {
			m.Job, m.Jobs = updateJob(name, job.Pending, ""), []fleet.Job{*updateJob(name, job.Pending, "")}
		}
		switch {
		case name == "has":
			m.Current, m.Deployed = true, &fleet.Deployment{Image: "web:2@amd64"}
		case name == "away":
			pending()
			m.Away, m.Service = true, &fleet.Service{Time: since}
		case name == "old":
			pending()
			m.Needs = "the service there cannot carry out updates"
		case r.Method == http.MethodPost:
			m.Job = updateJob(name, job.Pending, "")
		case name == "good":
			m.Jobs = []fleet.Job{*updateJob("other", job.Failed, "x"), *updateJob(name, job.Done, "")}
		case looks.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable) // the server restarts
			return
		default:
			m.Status, m.Jobs = "update failed", []fleet.Job{*updateJob(name, job.Failed, "nginx.service failed\x1b[2J")}
		}
		json.NewEncoder(w).Encode(m)
	})
	want := strings.Join([]string{"updating bad to web:2@amd64: nginx.service failed [2J",
		"updating away to web:2@amd64: the machine is away since 2026-11-29 06:00:00, and gets it when it is back",
		"updating old to web:2@amd64: the service there cannot carry out updates"}, "\n")
	if got := o.run(true, "good", "bad", "has", "away", "old"); got != want {
		t.Errorf("update() = %q, want %q", got, want)
	}
	if o.out.String() != "good has web:2@amd64.\n" {
		t.Errorf("it prints %q", o.out.String())
	}
	for _, want := range []string{"has has web:2@amd64 already.", "good gets web:2@amd64 at its next check-in.",
		"away is away since 2026-11-29 06:00:00. It gets web:2@amd64 when it is back.",
		"old cannot begin its update to web:2@amd64: the service there cannot carry out updates.",
		"bad: update failed: nginx.service failed [2J"} {
		if !strings.Contains(o.said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, o.said.String())
		}
	}
}

// TestOrderMany: what the server says the same of several machines is said once.
func TestOrderMany(t *testing.T) {
	o := newOrders(t, func(w http.ResponseWriter, r *http.Request, name string) {
		if strings.HasPrefix(name, "x") {
			refuse(w, http.StatusNotFound, "no such machine")
			return
		}
		json.NewEncoder(w).Encode(api.Machine{Name: name, ID: name, Job: updateJob(name, job.Pending, "")})
	})
	if got := o.run(false, "x1", "a", "x2", "b"); got != "updating x1, x2: no such machine" {
		t.Errorf("update() = %q", got)
	}
	want := "a gets web:2@amd64 at its next check-in.\nb gets web:2@amd64 at its next check-in.\n"
	if o.out.String() != want {
		t.Errorf("it prints %q, want %q", o.out.String(), want)
	}
}

// TestOrderStops: where the server itself is the trouble, the others are not tried, and are named.
func TestOrderStops(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusInternalServerError,
		http.StatusInsufficientStorage} {
		var asked atomic.Int32
		o := newOrders(t, func(w http.ResponseWriter, r *http.Request, name string) {
			if asked.Add(1) > 1 {
				refuse(w, status, "it does not work")
				return
			}
			json.NewEncoder(w).Encode(api.Machine{Name: name, ID: name, Job: updateJob(name, job.Pending, "")})
		})
		const want = "updating b: it does not work\nupdating c, d: not tried; run the command again"
		if got := o.run(false, "a", "b", "c", "d"); got != want || asked.Load() != 2 {
			t.Errorf("with %d update() = %q after %d calls, want %q", status, got, asked.Load(), want)
		}
	}
}

// TestCancelMany: each machine is cancelled, also after one that has no job; without a server, none is tried.
func TestCancelMany(t *testing.T) {
	o := newOrders(t, func(w http.ResponseWriter, r *http.Request, name string) {
		switch name {
		case "idle":
			refuse(w, http.StatusConflict, "idle has no job that waits or runs")
		case "down":
			refuse(w, http.StatusServiceUnavailable, "later")
		default:
			json.NewEncoder(w).Encode(api.Machine{Name: name, Job: updateJob(name, job.Cancelled, "")})
		}
	})
	err := o.m.cancelAll(context.Background(), o.client, []string{"a", "idle", "b", "down", "c", "d"})
	want := "cancelling the job of idle: idle has no job that waits or runs\ncancelling the job of down: later\n" +
		"cancelling the jobs of c, d: not tried; run the command again"
	if err == nil || err.Error() != want {
		t.Errorf("cancelAll() = %v, want %s", err, want)
	}
	const is = ": the job with web:2@amd64 is cancelled.\n"
	if got := o.out.String(); got != "a"+is+"b"+is {
		t.Errorf("it prints %q", got)
	}
}

// TestSummary: the line about a room of machines that are waited for.
func TestSummary(t *testing.T) {
	of := func(s job.State) *result { return &result{Machine: &api.Machine{Job: updateJob("1", s, "")}} }
	all := []*result{of(job.Done), {Machine: &api.Machine{Current: true}}, of(job.Pending), of(job.Started),
		of(job.Started), of(job.Failed), {Asked: "x"}}
	if got := summary(all); got != "2 of 7 have it, 2 updating, 1 not begun, 2 failed" {
		t.Errorf("summary() = %q", got)
	}
}

// TestLost: a machine that says nothing in its update is waited for only so long; one that restarts is.
func TestLost(t *testing.T) {
	begun := time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC)
	at := func(minutes int, away bool) api.Machine {
		j := updateJob("j", job.Started, "")
		j.Changed = begun.Add(time.Duration(minutes) * time.Minute)
		return api.Machine{Name: "lab-1", Away: away, Service: &fleet.Service{Time: begun}, Job: j}
	}
	first := at(0, false)
	one := &result{Machine: &first}
	for _, look := range []struct {
		at      int // minutes
		machine api.Machine
		stuck   bool
	}{
		{0, at(0, false), false},
		{5, at(0, true), false},   // it restarts
		{40, at(40, true), false}, // the boot image reports
		{69, at(40, true), false},
		{70, at(40, true), true},
		{71, at(40, false), false}, // it is back
		{102, at(40, true), true},
		{103, at(103, true), false},
	} {
		now := begun.Add(time.Duration(look.at) * time.Minute)
		one.hear(look.machine, now)
		one.Machine = &look.machine
		if err := stuck(one, now); (err != nil) != look.stuck {
			t.Errorf("after %d minutes: %v", look.at, err)
		} else if err != nil && !strings.HasPrefix(err.Error(), "the machine is away since 2026-11-29 ") {
			t.Error(err)
		}
	}
}
