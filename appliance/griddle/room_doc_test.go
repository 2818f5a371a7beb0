package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/uuid"

	"griddle/appliance/account"
	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// classroom is a server, and machines beside it that are switched on and carry out what they get.
type classroom struct {
	api *api.Handler
	url string
	ca  []byte
	tls *tls.Config
	all sync.WaitGroup
}

// newClassroom makes machines lab-1 and so on. The disks of the first two are not blank. The first three are
// the group lab1. The last one is off. The clock
// of the server is fast, so that machines check in often.
func newClassroom(t *testing.T, machines int) *classroom {
	t.Helper()
	began := time.Now()
	f, err := fleet.Open(t.Context(), filepath.Join(t.TempDir(), "fleet.db"), fleet.Options{
		Now: func() time.Time { return began.Add(20 * time.Since(began)) }})
	if err != nil {
		t.Fatal(err)
	}
	r := &classroom{}
	accounts, err := account.Open(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accounts.Close() })
	if r.api, err = api.New(api.Options{Fleet: f, Accounts: accounts, Images: shelf{}, Names: shelf{},
		Admin: adminToken}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(r.api)
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	r.url = srv.URL
	r.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if r.tls, err = job.PinnedTLS(r.ca); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(func() {
		stop()
		r.all.Wait()
		srv.Close()
		f.Close()
		accounts.Close()
	})
	r.all.Go(func() { r.api.CarryOutOrders(ctx) })
	for i := 1; i <= machines; i++ {
		d := job.Disk{Path: "/dev/sda", Serial: fmt.Sprint("S", i), Size: 64 << 30, SectorSize: 512, Sampled: job.Zeros}
		if i <= 2 {
			d.Sampled, d.Table = "", "gpt"
			d.Partitions = []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Filesystem: "ext4",
				Label: "photos"}}
		}
		m := &computer{mac: fmt.Sprintf("52:54:00:00:02:%02x", i), disk: d, room: r}
		if err := m.boot(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Rename(ctx, m.mac, fmt.Sprint("lab-", i)); err != nil {
			t.Fatal(err)
		}
		if i <= 3 {
			group, fine := "lab1", func(fleet.Declared) error { return nil }
			if i == 1 {
				if _, err := f.ChangeGroup(ctx, group, true, func(g *fleet.Group) error {
					g.Image = "web:stable"
					return nil
				}, fine); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := f.Relabel(ctx, []fleet.Change{{Key: m.mac, Group: &group}}, false, false, fine); err != nil {
				t.Fatal(err)
			}
		}
		if i < machines {
			r.all.Go(func() { m.live(ctx, t) })
		}
	}
	return r
}

// computer is a machine of a classroom.
type computer struct {
	room   *classroom
	mac    string
	disk   job.Disk
	client *job.Client
	hello  job.Hello
	system string // the root that is installed, "" for none
	roots  int
	relays bool
}

// boot starts it from the network.
func (m *computer) boot(ctx context.Context) error {
	key, err := job.NewKey()
	if err != nil {
		return err
	}
	conf := m.room.tls.Clone()
	conf.Certificates = []tls.Certificate{key}
	m.client = job.NewClient(m.room.url, conf)
	m.hello = job.Hello{Boot: uuid.NewString(), Identity: job.Identity{MACs: []string{m.mac}},
		Features:  []string{job.FeatureSettings, job.FeatureUpdate, job.FeatureReset, job.FeatureLayout},
		Inventory: job.Inventory{Memory: 4e9, Disks: []job.Disk{m.disk}}}
	_, err = m.client.Hello(ctx, m.hello)
	return err
}

// live has it do all that it is told, until ctx ends.
func (m *computer) live(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		err := m.turn(ctx)
		var p *job.Problem
		if often := errors.As(err, &p) && p.Status == 429; err != nil && !often && ctx.Err() == nil {
			t.Errorf("%s: %v", m.mac, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// turn says hello, or checks in, and carries out what it gets.
func (m *computer) turn(ctx context.Context) error {
	if m.relays { // until someone restarts it
		return nil
	}
	w, err := m.client.Hello(ctx, m.hello)
	if err != nil {
		return err
	}
	if w.Job != nil && w.Job.Kind != job.Update { // which its service carries out
		return m.install(ctx, *w.Job)
	}
	if m.system == "" {
		return nil
	}
	in := job.CheckIn{Root: m.system, Boot: m.hello.Boot, Features: []string{job.FeatureUpdate, job.FeatureReboot}}
	out, err := m.client.CheckIn(ctx, in)
	if err != nil || out.Job == nil {
		return err
	}
	report := &job.JobReport{ID: out.Job.ID, State: job.Done}
	if out.Job.Kind == job.Reboot {
		m.hello.Boot = uuid.NewString()
		in.Boot, in.Action = m.hello.Boot, report
	} else {
		m.roots++
		m.system = fmt.Sprintf("@roots/web-%d", m.roots)
		in.Root, in.Job = m.system, report
	}
	for {
		_, err := m.client.CheckIn(ctx, in)
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != 429 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// install carries out a job of the boot image.
func (m *computer) install(ctx context.Context, s job.Spec) error {
	events := []job.Event{{Job: s.ID, Level: job.Info, State: job.Started, Disk: m.disk.Serial}}
	if s.Kind == job.Install {
		events = append(events, job.Event{Job: s.ID, Level: job.Info, State: job.Done})
	}
	for i := range events {
		events[i].Seq = uint64(i) + 1
	}
	_, err := m.client.Events(ctx, job.Events{Boot: m.hello.Boot, Events: events})
	if m.relays = s.Kind == job.Relay; err != nil || m.relays {
		return err
	}
	if err := m.client.Home(ctx, job.Home{URL: m.room.url + job.HomePath, Token: s.Home.Token},
		job.HomeReport{Hostname: s.Hostname}); err != nil {
		return err
	}
	m.roots++
	m.system = fmt.Sprintf("@roots/web-%d", m.roots)
	m.hello.Boot = uuid.NewString()
	return nil
}

// TestRoomDocument runs all commands of docs/ROOM.md beside a classroom of machines that carry them out. The block of
// text is part of what they print.
func TestRoomDocument(t *testing.T) {
	const document = "../../docs/ROOM.md"
	room := newClassroom(t, 7)
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(program, filepath.Join(dir, "griddle")),
		os.WriteFile(filepath.Join(dir, "token"), []byte(adminToken), 0o600),
		os.WriteFile(filepath.Join(dir, "ca.pem"), room.ca, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	script := "set -euo pipefail\n"
	for _, b := range blocks(t, document) {
		if b.notRun != "" {
			t.Errorf("%s:%d is not run", document, b.line)
		}
		script += b.text
	}
	// What a person types: the answer to the one question.
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	defer terminal.Close()
	if _, err := screen.WriteString("2\n"); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "bash", "-c", script)
	c.Dir, c.Stdin = dir, terminal
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "GRIDDLE_SERVER="+room.url, "GRIDDLE_TOKEN_FILE="+
		filepath.Join(dir, "token"), "GRIDDLE_CA="+filepath.Join(dir, "ca.pem"), "TZ=UTC")
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "```text\n")
	text, _, _ = strings.Cut(text, "```")
	if text == "" || !strings.Contains(string(out), text) {
		t.Errorf("the commands do not print\n%s", text)
	}
	if n := strings.Count(string(out), " is done."); n < 4 {
		t.Errorf("%d orders are done", n)
	}
}
