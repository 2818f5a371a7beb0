package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/quota"
	"griddle/appliance/quota/quotatest"
)

// plainSite is an API over plain HTTP, whose clients cost no TLS, on a fleet that is not flushed.
func plainSite(t *testing.T, log *slog.Logger) (*httptest.Server, *fleet.Fleet) {
	t.Helper()
	f, err := fleet.Open(t.Context(), filepath.Join(t.TempDir(), "fleet.db"), fleet.Options{Spare: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	accounts, err := account.Open(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accounts.Close() })
	h, err := New(Options{Fleet: f, Accounts: accounts, Images: shelf{}, Streams: &air{}, Admin: adminToken, Log: log,
		Notices: func() []string { return []string{"another DHCP server answers"} }})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, f
}

// from returns a client with a source address on the loopback network.
func from(t *testing.T, last byte) *http.Client {
	tr := &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func post(t *testing.T, c *http.Client, url, token string, in any) (status int, body []byte) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func helloOf(mac string) job.Hello {
	return job.Hello{Boot: uuid.NewString(), Identity: job.Identity{MACs: []string{mac}}}
}

// TestUnfinishedHellos: 256 hellos of 4 MB, from 16 addresses, that never end. Memory stays below the budget and what
// connections cost, strangers are told to come back, and the machine of an operator is served.
func TestUnfinishedHellos(t *testing.T) {
	const limit = 192 << 20
	peak := quotatest.Confined(t, limit, func(t *testing.T) {
		s, f := plainSite(t, nil)
		if _, _, err := f.Install(t.Context(), mac,
			fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest"}); err != nil {
			t.Fatal(err)
		}
		known := from(t, 200)
		var w job.Welcome
		h := helloOf(mac)
		if _, b := post(t, known, s.URL+job.HelloPath, "", h); json.Unmarshal(b, &w) != nil || w.Token == "" {
			t.Fatalf("the first hello: %s", b)
		}
		if status, b := post(t, known, s.URL+job.EventsPath, w.Token,
			job.Events{Boot: h.Boot, Events: []job.Event{{Seq: 1}}}); status != 200 {
			t.Fatalf("the first report: %d %s", status, b)
		}
		text := bytes.Repeat([]byte("x"), job.MaxBody-100)
		var sent sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		refused := make(chan struct{}, 256)
		for i := range 256 {
			sent.Add(1)
			once := sync.OnceFunc(sent.Done)
			body := io.MultiReader(strings.NewReader(`{"agent":"`), bytes.NewReader(text),
				&stuck{ctx: ctx, reached: once})
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+job.HelloPath, body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = job.MaxBody
			req.Header.Set("Content-Type", "application/json")
			c := from(t, byte(2+i%16))
			go func() {
				defer once()
				res, err := c.Do(req)
				if err == nil {
					if res.StatusCode == http.StatusServiceUnavailable {
						refused <- struct{}{}
					}
					res.Body.Close()
				}
			}()
		}
		sent.Wait()
		if len(refused) == 0 {
			t.Error("no stranger was refused")
		}
		if status, b := post(t, known, s.URL+job.HelloPath, "", helloOf(mac)); status != 200 {
			t.Errorf("the known machine's hello meanwhile: %d %s", status, b)
		}
		stop()
	})
	t.Logf("%d MB at most, of %d", peak>>20, limit>>20)
}

// stuck is a body that does not end; reached is called when it is asked for.
type stuck struct {
	ctx     context.Context
	reached func()
}

func (s *stuck) Read([]byte) (int, error) {
	s.reached()
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// TestDecodedBodies: bodies of 4 MB that would become a hundred times that when they are decoded.
func TestDecodedBodies(t *testing.T) {
	const limit = 128 << 20
	peak := quotatest.Confined(t, limit, func(t *testing.T) {
		s, _ := plainSite(t, nil)
		for name, unit := range map[string]string{"disks": "{},", "nics": "{},"} {
			body := `{"boot":"` + bootID + `","inventory":{"` + name + `":[` +
				strings.Repeat(unit, (job.MaxBody-200)/len(unit)) + `{}]}}`
			res, err := http.Post(s.URL+job.HelloPath, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %d, want 413", name, res.StatusCode)
			}
		}
	})
	t.Logf("%d MB at most, of %d", peak>>20, limit>>20)
}

// TestMaximalHellosLeaveTheList: hellos with the largest inventories there can be, and a list of all of them.
func TestMaximalHellosLeaveTheList(t *testing.T) {
	const limit = 160 << 20
	peak := quotatest.Confined(t, limit, func(t *testing.T) {
		s, _ := plainSite(t, nil)
		var inv job.Inventory
		long := strings.Repeat("<", 128)
		for range 128 {
			inv.Disks = append(inv.Disks, job.Disk{Path: long, Model: long, Serial: long, Label: long,
				Partitions: []job.Partition{{Name: long, Type: long, Label: long}}})
		}
		const n = 205
		for i := range n {
			h := helloOf(fmt.Sprintf("52:54:01:00:%02x:%02x", i>>8, i&255))
			h.Inventory = inv
			if status, b := post(t, from(t, byte(2+i/100)), s.URL+job.HelloPath, "", h); status != 200 {
				t.Fatalf("hello %d: %d %s", i, status, b)
			}
		}
		pages, machines := 0, 0
		err := NewClient(s.URL, adminToken, nil).EachPage(t.Context(), func(m Machines) error {
			pages++
			machines += len(m.Machines)
			for _, one := range m.Machines {
				if one.Inventory != nil {
					return errors.New("the list has inventories")
				}
			}
			return nil
		})
		if err != nil || machines != n || pages != 2 {
			t.Errorf("EachPage() has %d machines on %d pages, %v, want %d on 2", machines, pages, err, n)
		}
	})
	t.Logf("%d MB at most, of %d", peak>>20, limit>>20)
}

// TestSlowBody: a body that comes a byte at a time is given up, however often it moves.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := quota.New(bodyQuota)
		hold, err := q.Take("a", false, 0)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := httptest.NewRequest(http.MethodPost, "/", trickle{})
		_, err = read(httptest.NewRecorder(), r, hold, job.MaxBody)
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != http.StatusRequestTimeout || time.Since(began) > bodyTime+5*time.Second {
			t.Errorf("read() = %v after %s, want 408 after %s", err, time.Since(began), bodyTime)
		}
		// One that does not move at all: its read is ended from outside.
		w := &deadlined{ResponseRecorder: httptest.NewRecorder(), passed: make(chan struct{})}
		began = time.Now()
		_, err = read(w, httptest.NewRequest(http.MethodPost, "/", w), hold,
			job.MaxBody)
		if !errors.As(err, &p) || p.Status != http.StatusRequestTimeout || time.Since(began) != bodyTime {
			t.Errorf("read() of a body that does not come = %v after %s, want 408 after %s", err,
				time.Since(began), bodyTime)
		}
		synctest.Wait()
	})
}

type trickle struct{}

func (trickle) Read(p []byte) (int, error) {
	time.Sleep(3 * time.Second)
	p[0] = ' '
	return 1, nil
}

// deadlined is a connection whose reads end when their deadline passes.
type deadlined struct {
	*httptest.ResponseRecorder
	passed chan struct{}
	once   sync.Once
}

func (d *deadlined) SetReadDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		d.once.Do(func() { close(d.passed) })
	}
	return nil
}

func (d *deadlined) Read([]byte) (int, error) {
	<-d.passed
	return 0, errors.New("deadline passed")
}

// TestLogNamesTheMachine: a failed install is an error with the machine's name, each job event names it, and an agent
// that waits for a job is logged once.
func TestLogNamesTheMachine(t *testing.T) {
	var log bytes.Buffer
	s, f := plainSite(t, slog.New(slog.NewTextHandler(&log, nil)))
	waiting := helloOf("52:54:00:00:00:0b")
	for range 5 {
		if status, b := post(t, http.DefaultClient, s.URL+job.HelloPath, "", waiting); status != 200 {
			t.Fatalf("hello: %d %s", status, b)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("an agent that waits makes %d lines, want 1:\n%s", n, log.String())
	}
	log.Reset()
	_, j, err := f.Install(t.Context(), mac,
		fleet.Order{Image: job.Image{Ref: "web:1@amd64"}, Disk: "largest", Hostname: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	h, w := helloOf(mac), job.Welcome{}
	if _, b := post(t, http.DefaultClient, s.URL+job.HelloPath, "", h); json.Unmarshal(b, &w) != nil {
		t.Fatalf("hello: %s", b)
	}
	events := job.Events{Boot: h.Boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: j.Spec.ID, State: job.Failed, Level: job.Error, Message: "the disk is too small"},
	}}
	if status, b := post(t, http.DefaultClient, s.URL+job.EventsPath, w.Token, events); status != 200 {
		t.Fatalf("events: %d %s", status, b)
	}
	var failed, started bool
	for _, l := range strings.Split(log.String(), "\n") {
		has := strings.Contains(l, "machine=web1") && strings.Contains(l, "job="+j.Spec.ID)
		failed = failed || has && strings.Contains(l, "level=ERROR") && strings.Contains(l, "the disk is too small")
		started = started || has && strings.Contains(l, "level=INFO") && strings.Contains(l, "state=started")
	}
	if !failed || !started {
		t.Errorf("the log has no such lines:\n%s", log.String())
	}
}

// TestNotices: what an operator should know comes before the list.
func TestNotices(t *testing.T) {
	s, _ := plainSite(t, nil)
	got, err := NewClient(s.URL, adminToken, nil).Machines(t.Context(), "")
	if err != nil || len(got.Notices) != 1 || got.Notices[0] != "another DHCP server answers" {
		t.Errorf("Machines() = %+v, %v", got, err)
	}
}

// TestContinue is the screen's way to go on, over the wire.
func TestContinue(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	first := job.NewClient(s.URL, s.tls)
	h := helloOf(mac)
	if _, err := first.Hello(ctx, h); err != nil {
		t.Fatal(err)
	}
	spec, err := first.Choose(ctx, job.Choice{Image: "web", Disk: "path:/dev/vda", Erase: "vda"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Events(ctx,
		job.Events{Boot: h.Boot, Events: []job.Event{{Seq: 1, Job: spec.ID, State: job.Started, Disk: "S1"},
			{Seq: 2, Job: spec.ID, State: job.Failed, Message: "the cable"}}}); err != nil {
		t.Fatal(err)
	}
	next := job.NewClient(s.URL, s.tls)
	again := helloOf(mac)
	again.Inventory.Disks = []job.Disk{{Path: "/dev/vdb", Serial: "S1", Unfinished: spec.ID}}
	w, err := next.Hello(ctx, again)
	if err != nil || w.Job != nil || len(w.Unfinished) != 1 || w.Unfinished[0].Job != spec.ID {
		t.Fatalf("Hello() = %+v, %v, want the offer", w, err)
	}
	got, err := next.Choose(ctx, job.Choice{Continue: spec.ID, Disk: "path:/dev/vdb"})
	if err != nil || got.ID != spec.ID || got.Image.Ref != spec.Image.Ref ||
		got.Image.Document != spec.Image.Document || got.Disk != "path:/dev/vdb" || got.Erase != "" ||
		got.Home.Token == "" {
		t.Errorf("Choose() to continue = %+v, %v, want the same job with nothing to erase", got, err)
	}
}
