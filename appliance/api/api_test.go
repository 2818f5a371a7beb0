package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/appliance/account"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/seal"
	"griddle/appliance/setting"
	"griddle/imagestore/durable"
)

const (
	adminToken = "0123456789abcdef0123456789abcdef"
	bootID     = "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f01"
	mac        = "52:54:00:00:00:0a"
)

// shelf is a store with two images. The one that is called set has settings.
type shelf struct{}

func (shelf) Choices(context.Context) ([]job.ImageChoice, error) {
	return []job.ImageChoice{{Ref: "web:1@amd64", Size: 1000}}, nil
}

func (shelf) Plan(_ context.Context, ref string, have ...string) (job.Image, error) {
	name, version, ok := strings.Cut(strings.TrimSuffix(ref, "@amd64"), ":")
	if !slices.Contains([]string{"web", "set", "bare", "sysv", "griddle/kernel"}, name) ||
		strings.HasSuffix(ref, "@arm64") && name != "web" || version == "9" {
		return job.Image{}, fmt.Errorf("%w: %s", ErrNoImage, job.Printable(ref))
	}
	if !ok || version == "old" {
		version = "1"
	}
	if version == "stable" {
		version = "2"
	}
	image := job.Image{Ref: name + ":" + version + "@amd64", Document: "sha256:" + name + version, Size: 1000}
	if strings.HasSuffix(ref, "@arm64") {
		image.Ref = name + ":" + version
	}
	for range have {
		image.Streams = append(image.Streams, job.Stream{})
	}
	return image, nil
}

func (shelf) Kernel(_ context.Context, image job.Image) (out job.Image, err error) {
	if strings.HasPrefix(image.Ref, "bare:") {
		out.Ref = "griddle/kernel:6@amd64"
	}
	return out, nil
}

func (shelf) Updates(_ context.Context, image job.Image) error {
	if strings.HasPrefix(image.Ref, "sysv:") {
		return fmt.Errorf("%w: %s does not start with systemd", ErrNoImage, image.Ref)
	}
	return nil
}

func (shelf) For(asked, image string) string {
	if strings.Contains(asked, "@") || image == "" {
		return asked
	}
	return asked + "@amd64"
}

func (shelf) Follow(_ context.Context, asked, _ string) (string, error) {
	if strings.HasSuffix(asked, ":stable") {
		return asked + "@amd64", nil
	}
	return "web:3@amd64", nil
}

func (shelf) Step(from, to string) Step {
	a, b := strings.Split(from, ":"), strings.Split(to, ":")
	return Step{Other: a[0] != b[0], Arch: strings.HasSuffix(to, "@arm64"),
		Older: a[0] == b[0] && len(a) > 1 && len(b) > 1 && b[1] < a[1]}
}

func (shelf) Settings(_ context.Context, image job.Image) ([]byte, error) {
	if image.Ref != "set:1@amd64" {
		return nil, nil
	}
	return []byte(`{"zone":"UTC","ntp":["image.example.org"]}`), nil
}

// air is a room without sessions, but for one.
type air struct{ control []string }

func (*air) Ask(_ context.Context, who StreamAsker, ask json.RawMessage) (any, error) {
	return map[string]any{"who": who, "ask": ask}, nil
}

func (*air) Report(_ context.Context, machine string, report json.RawMessage) (any, error) {
	return map[string]any{"machine": machine, "report": report}, nil
}

func (*air) List() any { return []string{"one"} }

func (a *air) Control(session, action string, c StreamControl) error {
	if session != "one" {
		return fmt.Errorf("%w: %s", ErrNoSession, session)
	}
	a.control = append(a.control, fmt.Sprintf("%s %v %d", action, c.For(), c.Rate))
	return nil
}

type site struct {
	air *air
	*httptest.Server
	handler  *Handler
	tls      *tls.Config
	fleet    *fleet.Fleet
	accounts *account.Store
	ahead    atomic.Int64     // of the clock of the accounts
	dir      string           // of the fleet's file
	settings setting.Document // of all machines
	log      bytes.Buffer
	skip     atomic.Int64              // by which the fleet's clock is ahead
	stopped  atomic.Pointer[time.Time] // what the fleet's clock shows, if it does not go
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{air: &air{}, dir: t.TempDir()}
	var err error
	s.fleet, err = fleet.Open(t.Context(), filepath.Join(s.dir, "fleet.db"), fleet.Options{
		Now: func() time.Time {
			if at := s.stopped.Load(); at != nil {
				return *at
			}
			return time.Now().Add(time.Duration(s.skip.Load()))
		},
		Sealer: seal.In(durable.Disk{}, filepath.Join(s.dir, "settings.key"), "test")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.fleet.Close() })
	s.accounts, err = account.Open(t.Context(), filepath.Join(s.dir, "accounts.db"),
		func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.accounts.Close() })
	s.handler, err = New(Options{Fleet: s.fleet, Accounts: s.accounts, Images: shelf{}, Names: shelf{}, Streams: s.air,
		Sources: []string{"http://a"},
		Home:    "https://a", Admin: adminToken, Site: func() setting.Document { return s.settings },
		Log: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(s.handler)
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if s.tls, err = job.PinnedTLS(ca); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestInstall tells one job from both sides.
func TestInstall(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	m, err := operator.Install(ctx, mac,
		Install{Image: "web", Disk: "largest", Hostname: "web1", Args: []string{"quiet"}})
	if err != nil || m.Name != "web1" || m.Status != "pending" {
		t.Fatalf("Install() = %+v, %v", m, err)
	}
	agent := job.NewClient(s.URL, s.tls)
	w, err := agent.Hello(ctx, job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{strings.ToUpper(mac)}}})
	if err != nil || w.Job == nil || w.Machine != "web1" {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	if w.Job.Sources[0] != "http://a" || w.Job.Home.URL != "https://a"+job.HomePath || w.Job.Home.Token == "" ||
		w.Job.Hostname != "web1" {
		t.Errorf("Hello() gives the job %+v", w.Job)
	}
	ack, err := agent.Events(ctx, job.Events{Boot: bootID, Events: []job.Event{
		{Seq: 1, Job: w.Job.ID, Phase: job.PhasePartition, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: w.Job.ID, Phase: job.PhaseReceive, Progress: &job.Progress{Done: 43, Total: 100}},
	}})
	if err != nil || ack.Seq != 2 || ack.Cancelled {
		t.Fatalf("Events() = %+v, %v", ack, err)
	}
	if m, err = operator.Machine(ctx, "web1"); err != nil || m.Status != "installing" ||
		m.Job.Progress.Percent() != 43 {
		t.Errorf("Machine() = %+v, %v, want it installing at 43 %%", m, err)
	}
	if _, err := agent.Events(ctx,
		job.Events{Boot: bootID, Events: []job.Event{{Seq: 3, Job: w.Job.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	home := job.Home{URL: s.URL + job.HomePath, Token: w.Job.Home.Token}
	if err := agent.Home(ctx, home, job.HomeReport{Hostname: "web1"}); err != nil {
		t.Fatal(err)
	}
	if err := agent.Home(ctx, home, job.HomeReport{Hostname: "web1"}); err == nil || job.Retryable(err) {
		t.Errorf("Home() again = %v, want a refusal that is final", err)
	}
	if m, err = operator.Machine(ctx, mac); err != nil || m.Status != "deployed" {
		t.Errorf("Machine() = %s, %v, want deployed", m.Status, err)
	}
	log, err := operator.Log(ctx, mac, 0, 0)
	if err != nil || len(log.Entries) != 5 || log.Next != log.Entries[4].ID {
		t.Errorf("Log() = %+v, %v, want 5 entries", log, err)
	}
	if b, err := json.Marshal(m); err != nil || bytes.Contains(b, []byte(home.Token)) {
		t.Errorf("the machine as operators see it holds the one-time token")
	}
}

func TestChoose(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	agent := job.NewClient(s.URL, s.tls)
	w, err := agent.Hello(ctx, job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}}})
	if err != nil || w.Job != nil || len(w.Images) != 1 {
		t.Fatalf("Hello() = %+v, %v, want images and no job", w, err)
	}
	if _, err := agent.Choose(ctx, job.Choice{Image: "nothing", Disk: "tallest"}); err == nil ||
		!strings.Contains(err.Error(), "no such image") || !strings.Contains(err.Error(), "disk rule") {
		t.Errorf("Choose() of nonsense = %v, want both mistakes", err)
	}
	spec, err := agent.Choose(ctx, job.Choice{Image: "web", Disk: "path:/dev/vda", Erase: "vda"})
	if err != nil || spec.Image.Ref != "web:1@amd64" || spec.Home.Token == "" {
		t.Fatalf("Choose() = %+v, %v", spec, err)
	}
	operator := NewClient(s.URL, adminToken, s.tls)
	if _, err := operator.Install(ctx, mac, Install{Image: "web", Disk: "largest"}); err == nil ||
		!strings.Contains(err.Error(), "machine cancel") {
		t.Errorf("Install() over it = %v, want to be told how to cancel", err)
	}
	if m, err := operator.Cancel(ctx, mac); err != nil || m.Job.State != job.Cancelled {
		t.Fatalf("Cancel() = %+v, %v", m, err)
	}
	ack, err := agent.Events(ctx,
		job.Events{Boot: bootID, Events: []job.Event{{Seq: 1, Job: spec.ID, State: job.Started, Disk: "vda"}}})
	if err != nil || !ack.Cancelled {
		t.Errorf("Events() after Cancel = %+v, %v, want cancelled", ack, err)
	}
}

// TestGuard asks every route that there is with no token and with those of others: a new route is
// tested by being there.
func TestGuard(t *testing.T) {
	s := newSite(t)
	w, err := job.NewClient(s.URL, s.tls).Hello(t.Context(),
		job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.handler.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{key}", mac, "{id}", "one", "{action}", "stop").Replace(path)
		all := r.Who == Anybody
		tokens := map[string]bool{"": all, "wrong": all, w.Token: all || r.Who == Agent || r.Who == Worker,
			adminToken: all || r.Who == Operators}
		for token, allowed := range tokens {
			req := httptest.NewRequest(method, path, strings.NewReader(`{"boot":"`+bootID+`"}`))
			req.Header.Set("Content-Type", "application/json")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			if got := rec.Code != http.StatusUnauthorized; got != allowed {
				t.Errorf("%s with token %.8q = %d, want allowed %v", r.Pattern, token, rec.Code, allowed)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct {
		name, method, path, kind, body string
		want                           int
	}{
		{"form instead of JSON", "POST", job.HelloPath, "application/x-www-form-urlencoded", "{}", 415},
		{"broken JSON", "POST", job.HelloPath, "application/json", "{", 400},
		{"two values", "POST", job.HelloPath, "application/json", "{}{}", 400},
		{"no identity", "POST", job.HelloPath, "application/json", `{"boot":"` + bootID + `"}`, 400},
		{"too large", "POST", job.HelloPath, "application/json",
			`{"agent":"` + strings.Repeat("x", job.MaxBody) + `"}`, 413},
		{"unknown key of an operator", "POST", "/v1/machines/" + mac + "/install", "application/json",
			`{"imagge":"web"}`, 400},
		{"no such image", "POST", "/v1/machines/" + mac + "/install", "application/json",
			`{"image":"x","disk":"largest"}`, 422},
		{"no such machine", "GET", "/v1/machines/nobody", "", "", 404},
		{"no such path", "GET", "/v1/secrets", "", "", 404},
		{"bad number", "GET", "/v1/machines/nobody/log?after=-1", "", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			req.Header.Set("Content-Type", c.kind)
			req.Header.Set("Authorization", "Bearer "+adminToken)
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			var p job.Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != c.want || p.Status != c.want ||
				p.Detail == "" || rec.Header().Get("Content-Type") != job.ProblemType {
				t.Errorf("%s %s = %d %s, want a problem with status %d", c.method, c.path, rec.Code, rec.Body, c.want)
			}
		})
	}
}

// TestLogWaits asks before there is anything, and gets what comes.
func TestLogWaits(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	if _, err := operator.Install(ctx, mac, Install{Image: "web", Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		log, err := operator.Log(ctx, mac, 1, time.Minute)
		if err == nil && (len(log.Entries) != 1 || log.Entries[0].Event.State != job.Cancelled) {
			err = fmt.Errorf("entries %+v", log.Entries)
		}
		got <- err
	}()
	if _, err := operator.Cancel(ctx, mac); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("Log() = %v, want the cancelling", err)
	}
}

func TestShortAdminToken(t *testing.T) {
	if _, err := New(Options{Admin: "short"}); err == nil {
		t.Error("New() with a short token succeeded")
	}
}

// FuzzBodies throws bodies at every call that takes one.
func FuzzBodies(f *testing.F) {
	s := newSite(f)
	w, err := job.NewClient(s.URL, s.tls).Hello(context.Background(),
		job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"boot":"` + bootID +
		`","identity":{"macs":["52:54:00:00:00:0B"]},"inventory":{"disks":[{"model":"\u202e\u0000"}]}}`)
	f.Add(`{"boot":"` + bootID +
		`","events":[{"seq":1,"state":"started","time":"9999-12-31T23:59:59-23:59","progress":{"left":-1}}]}`)
	f.Add(`{"image":"web","disk":"largest","args":["a b"],"hostname":"-"}`)
	f.Add(`{"hostname":"\u001b[2J","kernel":"6"}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, r := range s.handler.Routes() {
			method, path, _ := strings.Cut(r.Pattern, " ")
			if method != "POST" {
				continue
			}
			req := httptest.NewRequest(method, strings.ReplaceAll(path, "{key}", mac), strings.NewReader(body))
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization",
				"Bearer "+map[Who]string{Agent: w.Token, Operators: adminToken, HomeToken: "x"}[r.Who])
			rec := httptest.NewRecorder()
			s.handler.ServeHTTP(rec, req)
			if rec.Code >= 500 {
				t.Fatalf("%s with %q = %d %s", r.Pattern, body, rec.Code, rec.Body)
			}
			if b, err := io.ReadAll(rec.Body); err != nil || bytes.ContainsRune(b, 0x1b) {
				t.Fatalf("%s with %q answers control characters", r.Pattern, body)
			}
		}
	})
}

func TestClientKeepsItsToken(t *testing.T) {
	var leaked string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked = r.Header.Get("Authorization")
	}))
	defer thief.Close()
	lure := httptest.NewTLSServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer lure.Close()
	conf, err := job.PinnedTLS(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lure.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	var p *job.Problem
	if _, err := NewClient(lure.URL, adminToken, conf).Machines(t.Context(), ""); !errors.As(err, &p) || leaked != "" {
		t.Errorf("Machines() from a server that redirects = %v, and the token went to %q", err, leaked)
	}
}
