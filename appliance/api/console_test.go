package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/account"
	"griddle/appliance/console"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/remote"
)

// screenSite is a site with a machine whose agent can show its screen.
func screenSite(t *testing.T) (*site, *job.Client, job.Hello) {
	t.Helper()
	s := newSite(t)
	hello := job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}},
		Features: []string{job.FeatureScreen}}
	agent := job.NewClient(s.URL, s.tls)
	if w, err := agent.Hello(t.Context(), hello); err != nil || w.Screen {
		t.Fatalf("Hello() = %+v, %v, want no one who watches", w, err)
	}
	return s, agent, hello
}

// watchScreen watches, and gives what is new to the channel.
func watchScreen(t *testing.T, s *site, token string) <-chan console.News {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	all, over := make(chan console.News), make(chan struct{})
	go func() {
		defer close(over)
		_ = NewClient(s.URL, token, s.tls).WatchConsole(ctx, mac, 90, 30, func(n console.News) error {
			select {
			case all <- n:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-over })
	return all
}

// within is the next news for which is returns true.
func within(t *testing.T, all <-chan console.News, is func(console.News) bool) console.News {
	t.Helper()
	for {
		select {
		case n := <-all:
			if is(n) {
				return n
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("nothing comes")
		}
	}
}

func phase(p console.Phase) func(console.News) bool {
	return func(n console.News) bool { return n.Status != nil && n.Status.Phase == p }
}

func framed(n console.News) bool { return n.Frame != nil }

// journalOf is all messages of the machine's journal.
func journalOf(t *testing.T, s *site) (out []string) {
	t.Helper()
	log, err := NewClient(s.URL, adminToken, s.tls).Log(t.Context(), mac, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Entries {
		out = append(out, e.Event.Message)
	}
	return out
}

// TestConsole has the real model of a screen on one side, and an operator on the other.
func TestConsole(t *testing.T) {
	s, agent, hello := screenSite(t)
	ctx := t.Context()
	operator := NewClient(s.URL, adminToken, s.tls)
	if err := operator.TypeConsole(ctx, mac, Typed{Keys: []job.ScreenKey{{Name: "enter"}}}); err == nil ||
		!strings.Contains(err.Error(), "takes no keys") {
		t.Errorf("keys for a screen that no one watches: %v", err)
	}
	all := watchScreen(t, s, adminToken)
	within(t, all, phase(console.Waits))
	if w, err := agent.Hello(ctx, hello); err != nil || !w.Screen {
		t.Fatalf("Hello() = %+v, %v, want that someone watches", w, err)
	}
	var model tea.Model = tui.New("1", true, tui.Actions{})
	model, _ = model.Update(tui.Found{Welcome: job.Welcome{Machine: "lab-1"}})
	view := func() []job.ScreenLine { return remote.Lines(model.View()) }
	before := view()
	w, err := agent.Screen(ctx, job.ScreenFrame{Number: 1, Columns: 80, Rows: 24, Whole: true, Lines: before})
	if err != nil || !w.Watched || w.Columns != 90 || w.Rows != 30 {
		t.Fatalf("Screen() = %+v, %v", w, err)
	}
	first := within(t, all, framed)
	picture, ok := job.ScreenPicture{}.Put(*first.Frame)
	if !ok || !strings.Contains(remote.View(picture, 80, 24, true), "lab-1") {
		t.Errorf("an operator sees:\n%s", remote.View(picture, 80, 24, true))
	}
	if err := operator.TypeConsole(ctx, mac, Typed{Keys: []job.ScreenKey{{Text: "?"}, {Name: "down"}}}); err != nil {
		t.Fatal(err)
	}
	keys, err := agent.ScreenKeys(ctx, 0)
	if err != nil || !keys.Watched || keys.Last != 2 || len(keys.Keys) != 2 {
		t.Fatalf("ScreenKeys() = %+v, %v", keys, err)
	}
	for _, k := range keys.Keys {
		msgs, _ := remote.KeyMsg(k)
		for _, m := range msgs {
			model, _ = model.Update(tui.Elsewhere{Key: m})
		}
	}
	time.Sleep(100 * time.Millisecond) // frames that come too soon are refused
	if _, err := agent.Screen(ctx, job.ScreenFrame{Number: 2, Columns: 80, Rows: 24,
		Lines: remote.Changed(before, view())}); err != nil {
		t.Fatal(err)
	}
	second := within(t, all, framed)
	if picture, ok = picture.Put(*second.Frame); !ok || second.Frame.Whole ||
		!strings.Contains(remote.View(picture, 80, 24, true), "Help") {
		t.Errorf("after ? an operator sees:\n%s", remote.View(picture, 80, 24, true))
	}
	said := strings.Join(journalOf(t, s), "\n")
	for _, want := range []string{"admin.token watches the screen of this machine", "admin.token types at the screen"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("the journal has not once %q:\n%s", want, said)
		}
	}
	entries, err := s.accounts.Entries(ctx, 0, 1000)
	if err != nil || !slices.ContainsFunc(entries, func(e account.Entry) bool {
		return e.Who == account.AdminToken && strings.HasSuffix(e.Call, "/console/keys") &&
			strings.Contains(e.On, "1 characters, 1 down") && e.Outcome == account.Done
	}) {
		t.Errorf("the audit log does not say what kind of keys were typed: %+v, %v", entries, err)
	}
	s.handler.typed(machineID(t, s), "ada", console.Kinds([]job.ScreenKey{{Text: "hunter2"}}))
	if said := strings.Join(journalOf(t, s), "\n"); !strings.Contains(said, "ada typed at the screen of this machine: "+
		"7 characters") || strings.Contains(said, "hunter2") {
		t.Errorf("the journal says:\n%s", said)
	}
}

func machineID(t *testing.T, s *site) string {
	t.Helper()
	m, err := NewClient(s.URL, adminToken, s.tls).Machine(t.Context(), mac)
	if err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// TestConsoleOfHostileMachine: what reaches an operator is bounded and printable, whatever a machine sends.
func TestConsoleOfHostileMachine(t *testing.T) {
	s, agent, hello := screenSite(t)
	all := watchScreen(t, s, adminToken)
	within(t, all, phase(console.Waits))
	if _, err := agent.Hello(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	for _, f := range []job.ScreenFrame{{}, {Columns: 1 << 30, Rows: 24}, {Columns: 80, Rows: -1}} {
		if _, err := agent.Screen(t.Context(), f); err == nil || job.Retryable(err) {
			t.Errorf("a screen of %dx%d: %v", f.Columns, f.Rows, err)
		}
	}
	evil := "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\r\nevent: status\ndata: {}\n\n"
	lines := []job.ScreenLine{{Row: -1}, {Row: 1 << 40}, {Row: 2, Runs: []job.ScreenRun{{Text: evil, Look: 0xffff}}},
		{Row: 2, Runs: []job.ScreenRun{{Text: "twice"}}},
		{Row: 3, Runs: []job.ScreenRun{{Text: strings.Repeat("漢", 10000)}}}}
	if w, err := agent.Screen(t.Context(), job.ScreenFrame{Number: 1, Columns: 80, Rows: 24, Whole: true,
		Lines: lines}); err != nil || !w.Watched {
		t.Fatalf("Screen() = %+v, %v", w, err)
	}
	n := within(t, all, framed)
	if len(n.Frame.Lines) != 24 || len([]rune(n.Frame.Lines[3].Runs[0].Text)) != 80 {
		t.Errorf("an operator gets %d lines", len(n.Frame.Lines))
	}
	for _, l := range n.Frame.Lines {
		for _, r := range l.Runs {
			if strings.ContainsAny(r.Text, "\x1b\x07\r\n\u202e\u009b") || strings.Contains(r.Text, "twice") {
				t.Errorf("an operator gets %q", r.Text)
			}
		}
	}
	b, err := json.Marshal(n)
	if err != nil || len(b) > 20000 {
		t.Errorf("an operator gets %d bytes, %v", len(b), err)
	}
	// Another computer with the address of the machine says hello: its screen is another one.
	other := job.NewClient(s.URL, s.tls)
	stranger := hello
	stranger.Boot = "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02"
	if _, err := other.Hello(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	within(t, all, phase(console.Waits))
	if w, err := agent.Screen(t.Context(), job.ScreenFrame{Number: 2, Columns: 80, Rows: 24,
		Whole: true}); err == nil && w.Watched {
		t.Error("the boot before still shows its screen")
	}
}

// TestConsoleRoles: a viewer sees, and types nothing.
func TestConsoleRoles(t *testing.T) {
	s, _, _ := screenSite(t)
	token := func(role account.Role) string {
		token, _, err := s.accounts.MakeToken(t.Context(), account.Who{Name: "test", Role: account.Admin},
			account.NewToken{Name: string(role), Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	viewer := token(account.Viewer)
	within(t, watchScreen(t, s, viewer), phase(console.Waits))
	in := Typed{Keys: []job.ScreenKey{{Name: "enter"}}}
	var p *job.Problem
	if err := NewClient(s.URL, viewer, s.tls).TypeConsole(t.Context(), mac, in); !errors.As(err, &p) ||
		p.Status != http.StatusForbidden {
		t.Errorf("a viewer types: %v", err)
	}
	if err := NewClient(s.URL, token(account.Operator), s.tls).TypeConsole(t.Context(), mac, in); !errors.As(err, &p) ||
		p.Status != http.StatusConflict {
		t.Errorf("an operator types at a screen that is not shown: %v", err)
	}
	for name, err := range map[string]error{
		"no token": NewClient(s.URL, "", s.tls).WatchConsole(t.Context(), mac, 0, 0, nil),
		"unknown":  NewClient(s.URL, viewer, s.tls).WatchConsole(t.Context(), "nothing", 0, 0, nil),
	} {
		if !errors.As(err, &p) || !slices.Contains([]int{http.StatusUnauthorized, http.StatusNotFound}, p.Status) {
			t.Errorf("%s watches: %v", name, err)
		}
	}
}

// TestConsoleStream: the stream is server-sent events, and ends with the server.
func TestConsoleStream(t *testing.T) {
	s, _, _ := screenSite(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/machines/"+mac+"/console", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: s.tls}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	name, _ := in.ReadString('\n')
	data, _ := in.ReadString('\n')
	empty, err := in.ReadString('\n')
	if err != nil || res.Header.Get("Content-Type") != "text/event-stream" || name != "event: status\n" ||
		data != `data: {"phase":"waiting","approved":false}`+"\n" || empty != "\n" {
		t.Errorf("the stream begins with %q, %q, %q (%v)", name, data, empty, err)
	}
}

// TestConsoleOfBootThatWaits: while an operator has to approve a boot, no screen of the machine is shown: an operator
// would read the code of another computer from it.
func TestConsoleOfBootThatWaits(t *testing.T) {
	s, _, hello := screenSite(t)
	s.fleet.Reconfigure(fleet.Options{Enrolment: fleet.EnrolApprove})
	key, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	conf := s.tls.Clone()
	conf.Certificates = []tls.Certificate{key}
	agent := job.NewClient(s.URL, conf)
	all := watchScreen(t, s, adminToken)
	within(t, all, phase(console.Waits))
	hello.Boot = "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02"
	w, err := agent.Hello(t.Context(), hello)
	if err != nil || w.Approval == nil || w.Approval.Code == "" || w.Screen {
		t.Fatalf("Hello() = %+v, %v, want a boot that waits", w, err)
	}
	within(t, all, phase(console.Approval))
	f := job.ScreenFrame{Number: 1, Columns: 80, Rows: 24, Whole: true}
	if got, err := agent.Screen(t.Context(), f); err == nil && got.Watched {
		t.Error("a boot that waits shows its screen")
	}
	if _, err := NewClient(s.URL, adminToken, s.tls).Approve(t.Context(), mac, w.Approval.Code); err != nil {
		t.Fatal(err)
	}
	if w, err = agent.Hello(t.Context(), hello); err != nil || !w.Screen || !w.Approved {
		t.Fatalf("Hello() after the approval = %+v, %v", w, err)
	}
	if got, err := agent.Screen(t.Context(), f); err != nil || !got.Watched {
		t.Errorf("Screen() after the approval = %+v, %v", got, err)
	}
	within(t, all, func(n console.News) bool {
		return n.Status != nil && *n.Status == console.Status{
			Phase: console.Shown, Approved: true}
	})
}

// TestConsoleEnds: the stream of a screen ends when the one who watches may no longer do so.
func TestConsoleEnds(t *testing.T) {
	s, asked := newSite(t), 0
	s.handler.beat = time.Millisecond
	w, err := s.handler.screens.Watch("m", "ada", 80, 24)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx := context.WithValue(t.Context(), callerKey{}, caller{again: func() error {
		if asked++; asked > 2 {
			return errors.New("the token was deleted")
		}
		return nil
	}})
	rec := httptest.NewRecorder()
	s.handler.streamConsole(ctx, rec, w)
	want := "event: status\ndata: {\"phase\":\"waiting\",\"approved\":false}\n\n"
	if got := rec.Body.String(); asked != 3 || !strings.HasPrefix(got, want) ||
		strings.Trim(strings.TrimPrefix(got, want), ":\n") != "" {
		t.Errorf("asked %d times, the stream has %q", asked, got)
	}
}
