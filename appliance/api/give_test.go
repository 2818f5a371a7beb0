package api

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// canary is a secret that must be seen nowhere but where it belongs.
const canary = "$6$canary$canarycanarycanarycanary"

// secrets are settings with the canary in each place that may have one.
const secrets = `{"hostname":"lab-{mac}","root":{"passwordHash":"` + canary + `"},
	"users":[{"name":"ada","passwordHash":"` + canary + `"}],"userData":"#cloud-config\n# ` + canary + `",
	"files":[{"path":"/etc/key","content":"` + canary + `","secret":true}],
	"hooks":[{"name":"a","script":"#!/bin/sh\n# ` + canary + `","secret":true}],
	"configure":{"tool":"puppet","path":"/srv","data":{"password":"` + canary + `"}}}`

// set sets the own settings of a machine.
func (s *site) set(t *testing.T, key, text string) {
	t.Helper()
	_, err := s.fleet.SetSettings(t.Context(), []string{key},
		func(_ string, d fleet.Declared) (setting.Document, error) {
			return setting.Decode(d.Settings.From, []byte(text))
		})
	if err != nil {
		t.Fatal(err)
	}
}

// boot is an agent with a key of its own, "" for one without.
func (s *site) boot(t *testing.T, keyed bool, features ...string) (*job.Client, job.Hello) {
	t.Helper()
	conf := s.tls.Clone()
	if keyed {
		key, err := job.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		conf.Certificates = []tls.Certificate{key}
	}
	return job.NewClient(s.URL, conf), job.Hello{Boot: uuid.NewString(), Features: features,
		Identity: job.Identity{MACs: []string{mac}, UUID: "11111111-2222-3333-4444-555555555555"}}
}

// TestTwoKeys: in each mode a second computer, which claims the same MAC address and UUID with another key, gets no
// secret, before the honest one is approved and after. What it gets, and what the server writes down, has none either.
func TestTwoKeys(t *testing.T) {
	for _, mode := range []fleet.Enrolment{fleet.EnrolOpen, fleet.EnrolApprove, fleet.EnrolClosed} {
		t.Run(string(mode), func(t *testing.T) {
			ctx, s := t.Context(), newSite(t)
			s.fleet.Reconfigure(fleet.Options{Enrolment: mode})
			s.set(t, mac, secrets)
			operator := NewClient(s.URL, adminToken, s.tls)
			if m, err := operator.Install(ctx, mac, Install{Image: "set", Disk: "largest"}); err != nil {
				t.Fatalf("Install() = %+v, %v", m, err)
			}
			honest, h := s.boot(t, true, job.FeatureSettings)
			thief, th := s.boot(t, true, job.FeatureSettings)
			// code is what the screen of a boot shows, "" for one that has its settings.
			code := func(c *job.Client, hello job.Hello) string {
				t.Helper()
				w, err := c.Hello(ctx, hello)
				if err != nil {
					t.Fatal(err)
				}
				if w.Approval != nil {
					return w.Approval.Code
				}
				if w.Job == nil || !w.Job.Settings {
					t.Fatalf("Hello() = %+v, want a job with settings", w)
				}
				got, err := c.Settings(ctx)
				if err != nil || (got.State == job.Ready) != (got.Settings != nil) {
					t.Fatalf("Settings() = %+v, %v", got, err)
				}
				if got.State == job.Ready && !bytes.Contains(got.Settings, []byte(canary)) {
					t.Errorf("Settings() has no secret: %s", got.Settings)
				}
				return got.Code
			}
			shown, other := code(honest, h), code(thief, th)
			if shown == "" || other == "" || shown == other {
				t.Fatalf("the screens show %q and %q", shown, other)
			}
			if _, err := operator.Approve(ctx, mac, shown); err != nil {
				t.Fatal(err)
			}
			if got := code(honest, h); got != "" {
				t.Errorf("after the approval the screen shows %q", got)
			}
			if got := code(thief, th); got != other {
				t.Errorf("after the approval the other screen shows %q, want %q", got, other)
			}
			var got setting.Settings
			again := h
			again.Boot = uuid.NewString()
			if w, err := honest.Hello(ctx, again); err != nil || w.Job == nil {
				t.Fatalf("Hello() of the next boot with the key = %+v, %v", w, err)
			}
			all, err := honest.Settings(ctx)
			if err != nil || json.Unmarshal(all.Settings, &got) != nil || got.Hostname != "lab-52540000000a" ||
				got.Zone != "UTC" || got.Users[0].PasswordHash != canary {
				t.Errorf("Settings() of the next boot with the key = %s, %v", all.Settings, err)
			}
			s.noSecret(t)
		})
	}
}

// noSecret looks for the canary in all that operators can read, in the log and in the files of the fleet.
func (s *site) noSecret(t *testing.T) {
	t.Helper()
	for _, path := range []string{"", "/" + mac, "/" + mac + "/log", "/" + mac + "/settings"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/machines"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s = %d with the secret: %s, %v", path, res.StatusCode, b, err)
		}
	}
	if strings.Contains(s.log.String(), "canary") {
		t.Errorf("the log has the secret: %s", s.log.String())
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "fleet.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the fleet has the files %v, %v", files, err)
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s has the secret, %v", name, err)
		}
	}
}

// TestSettingsWithoutSecrets are for every boot that has the job, and for no other.
func TestSettingsWithoutSecrets(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	agent, hello := s.boot(t, false, job.FeatureSettings)
	status := func(err error, want int) {
		t.Helper()
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != want {
			t.Errorf("Settings() = %v, want status %d", err, want)
		}
	}
	_, err := agent.Settings(ctx)
	status(err, http.StatusUnauthorized)
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job != nil {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	_, err = agent.Settings(ctx)
	status(err, http.StatusConflict)
	spec, err := agent.Choose(ctx, job.Choice{Image: "set", Disk: "largest"})
	if err != nil || !spec.Settings {
		t.Fatalf("Choose() = %+v, %v", spec, err)
	}
	got, err := agent.Settings(ctx)
	if err != nil || got.State != job.Ready ||
		string(got.Settings) != `{"zone":"UTC","ntp":["image.example.org"]}` {
		t.Errorf("Settings() = %+v, %v", got, err)
	}
	// Now there is a secret, and this boot has no key that could be approved.
	s.settings, err = setting.Decode("site", []byte(`{"userData":"`+canary+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = agent.Settings(ctx)
	status(err, http.StatusForbidden)
	if !strings.Contains(err.Error(), "its agent proves no key") {
		t.Errorf("Settings() without a key = %v", err)
	}
	// And now the settings do not fit.
	if s.settings, err = setting.Decode("site",
		[]byte(`{"hostname":"lab-{serial}","ssh":{"port":70000}}`)); err != nil {
		t.Fatal(err)
	}
	_, err = agent.Settings(ctx)
	status(err, http.StatusConflict)
	if !strings.Contains(err.Error(), `hostname: "lab-{serial}" needs {serial}, and this machine has none (site)`) {
		t.Errorf("Settings() with mistakes = %v", err)
	}
}

// TestOldAgent: an agent that cannot ask for settings gets no job where there are some, and the journal says so once.
func TestOldAgent(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	old, hello := s.boot(t, true)
	w, err := old.Hello(ctx, hello)
	if err != nil || len(w.Images) == 0 {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	refused := func(err error) {
		t.Helper()
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != http.StatusUpgradeRequired || !strings.Contains(p.Detail, "make boot") {
			t.Errorf("an old agent gets %v, want status 426", err)
		}
	}
	_, err = old.Choose(ctx, job.Choice{Image: "set", Disk: "largest"})
	refused(err)
	if _, err := operator.Install(ctx, mac, Install{Image: "set", Disk: "largest", Replace: true}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err = old.Hello(ctx, hello)
		refused(err)
	}
	log, err := operator.Log(ctx, mac, 0, 0)
	n := 0
	for _, e := range log.Entries {
		if strings.Contains(e.Event.Message, "the boot image is too old for the settings of this machine") {
			n++
		}
	}
	if err != nil || n != 2 {
		t.Errorf("the journal says it %d times, want once for each job: %+v, %v", n, log, err)
	}
}

// TestOrderWithMistakes: an order for a machine whose settings do not fit is refused with every mistake.
func TestOrderWithMistakes(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	s.set(t, mac, `{"users":[{"name":"root","passwordHash":"letmein"}],"ssh":{"port":-1}}`)
	agent, hello := s.boot(t, true, job.FeatureSettings)
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	_, err := operator.Install(ctx, mac, Install{Image: "set", Disk: "largest"})
	_, screen := agent.Choose(ctx, job.Choice{Image: "set", Disk: "largest"})
	for _, err := range []error{err, screen} {
		var p *job.Problem
		if !errors.As(err, &p) || p.Status != http.StatusBadRequest || len(p.Mistakes) != 3 {
			t.Fatalf("the order is refused with %+v", err)
		}
		for _, want := range []string{"the settings of node-52540000000a have mistakes", "users[root]: ",
			"users[root].passwordHash: this is not the hash of a password: run `openssl passwd -6`",
			"ssh.port: -1 is not", "(machine node-52540000000a)"} {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "letmein") {
				t.Errorf("the order is refused with %v, want %q", err, want)
			}
		}
	}
	if m, err := operator.Machine(ctx, mac); err != nil || len(m.Jobs) != 0 {
		t.Errorf("the machine has jobs: %+v, %v", m, err)
	}
}
