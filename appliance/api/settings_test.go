package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// decoded is a document of settings.
func decoded(t *testing.T, text string) setting.Document {
	t.Helper()
	d, err := setting.Decode("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lines are the values of settings, one on each.
func lines(s Settings) (out []string) {
	for _, v := range s.Values {
		out = append(out, v.Place+" = "+v.Text+" ("+v.From+")")
	}
	return out
}

// TestSettings goes through what operators can do with the settings of a machine. No answer has a secret.
func TestSettings(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	s.settings = decoded(t, `{"zone":"Europe/Berlin","root":{"passwordHash":"`+canary+`"}}`)
	s.settings.From = "site"
	operator := NewClient(s.URL, adminToken, s.tls)
	if _, err := operator.Settings(ctx, mac); err == nil || !strings.Contains(err.Error(), "no such machine") {
		t.Errorf("Settings() of no machine = %v", err)
	}
	check := func(what string, got Settings, err error, want ...string) {
		t.Helper()
		if err != nil || !slices.Equal(lines(got), want) {
			t.Errorf("%s: the settings are, %v:\n%s\nwant:\n%s", what, err, strings.Join(lines(got), "\n"),
				strings.Join(want, "\n"))
		}
		if b, err := json.Marshal(got); err != nil || bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s: the answer has the secret: %s, %v", what, b, err)
		}
	}
	const own, zone = "(machine node-52540000000a)", "zone = Europe/Berlin (site)"
	const root = "root.passwordHash = (secret) (site)"
	got, err := operator.SetSettings(ctx, mac, decoded(t, secrets))
	check("after PUT", got, err, "configure.data.password = (secret) "+own, "configure.path = /srv "+own,
		"configure.tool = puppet "+own, "files[/etc/key].content = (secret) "+own,
		"files[/etc/key].path = /etc/key "+own,
		"files[/etc/key].secret = true "+own, "hooks[a].name = a "+own, "hooks[a].script = (secret) "+own,
		"hooks[a].secret = true "+own, "hostname = lab-52540000000a "+own,
		"root.passwordHash = (secret) "+own, "userData = (secret) "+own, "users[ada].name = ada "+own,
		"users[ada].passwordHash = (secret) "+own, zone)
	if len(got.Secrets) != 6 || got.Proved || got.Changed.IsZero() || got.Machine != "node-52540000000a" {
		t.Errorf("Settings() = %+v", got)
	}
	got, err = operator.ChangeSettings(ctx, mac, SettingsChange{
		Clear:    []string{"configure", "files", "hooks", "userData", "root", "users", "network"},
		Settings: decoded(t, `{"users":[{"name":"ada","sudo":true}]}`)})
	want := []string{"hostname = lab-52540000000a " + own, root, "users[ada].name = ada " + own,
		"users[ada].sudo = true " + own, zone}
	check("after PATCH", got, err, want...)
	if _, err := operator.Install(ctx, mac, Install{Image: "set", Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	got, err = operator.Settings(ctx, "node-52540000000a")
	check("with an image", got, err, want[0], "ntp[0] = image.example.org (image set:1@amd64)", want[1], want[2],
		want[3], zone)
	if got.Image != "set:1@amd64" {
		t.Errorf("the image is %q", got.Image)
	}
	// What is refused changes nothing.
	for text, places := range map[string][]string{
		`{"hostnam":"x"}`:                         {"hostnam"},
		`{"ssh":{"port":-1},"users":[{}]}`:        {"users[]", "ssh.port"},
		`{"root":{"passwordHash":"canary hash"}}`: {"root.passwordHash"},
	} {
		var p *job.Problem
		err := operator.call(ctx, http.MethodPut, "/v1/machines/"+mac+"/settings", json.RawMessage(text), nil)
		if !errors.As(err, &p) || p.Status != http.StatusBadRequest || len(p.Mistakes) != len(places) ||
			strings.Contains(err.Error(), "canary") {
			t.Errorf("PUT of %s = %v, want mistakes at %v", text, err, places)
			continue
		}
		for i, m := range p.Mistakes {
			if m.Place != places[i] || m.Machine != mac {
				t.Errorf("PUT of %s = %+v, want a mistake at %s", text, m, places[i])
			}
		}
	}
	_, err = operator.ChangeSettings(ctx, mac, SettingsChange{Clear: []string{"netwrok"}})
	if err == nil || !strings.Contains(err.Error(), "netwrok: there is no such key") {
		t.Errorf("PATCH that clears what does not exist = %v", err)
	}
	for range 2 {
		if err := operator.ClearSettings(ctx, mac); err != nil {
			t.Errorf("ClearSettings() = %v", err)
		}
	}
	got, err = operator.Settings(ctx, mac)
	check("after DELETE", got, err, "ntp[0] = image.example.org (image set:1@amd64)", root, zone)
	s.noSecret(t)
}

// TestManySettings: all mistakes of all machines are reported, and nothing is changed; or all are changed.
func TestManySettings(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	all := map[string]json.RawMessage{"nobody": json.RawMessage(`{}`)}
	for i := range 30 {
		all[fmt.Sprintf("52:54:00:00:01:%02x", i)] = json.RawMessage(`{"hostname":"lab-{mac}"}`)
	}
	all["52:54:00:00:01:07"] = json.RawMessage(`{"hostname":"lab_7","zone":"no zone"}`)
	_, err := operator.SetManySettings(ctx, ManySettings{Machines: all})
	var p *job.Problem
	if !errors.As(err, &p) || p.Status != http.StatusBadRequest || len(p.Mistakes) != 3 ||
		!strings.Contains(err.Error(), "52:54:00:00:01:07: hostname: ") ||
		!strings.Contains(err.Error(), "no such machine: nobody") {
		t.Fatalf("SetManySettings() with mistakes = %v", err)
	}
	if list, err := operator.Machines(ctx, ""); err != nil || len(list.Machines) != 0 {
		t.Errorf("after mistakes there are %d machines, %v", len(list.Machines), err)
	}
	delete(all, "nobody")
	all["52:54:00:00:01:07"] = json.RawMessage(`{"hostname":"lab-7"}`)
	names, err := operator.SetManySettings(ctx, ManySettings{Machines: all})
	if err != nil || len(names) != 30 {
		t.Errorf("SetManySettings() = %v, %v", names, err)
	}
	if got, err := operator.Settings(ctx, "52:54:00:00:01:07"); err != nil || got.Values[0].Text != "lab-7" {
		t.Errorf("Settings() = %+v, %v", got, err)
	}
	if _, err := operator.SetManySettings(ctx, ManySettings{}); err == nil {
		t.Error("SetManySettings() of none is not refused")
	}
}

// TestOrderTellsOfSecrets: after an order the operator knows that the boot waits.
func TestOrderTellsOfSecrets(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	for text, want := range map[string]bool{secrets: true, `{"hostname":"a"}`: false} {
		if _, err := operator.SetSettings(ctx, mac, decoded(t, text)); err != nil {
			t.Fatal(err)
		}
		m, err := operator.Install(ctx, mac, Install{Image: "web", Disk: "largest", Replace: true})
		if err != nil || m.Secrets != want {
			t.Errorf("Install() with the settings %.30s = %+v, %v, want secrets %v", text, m, err, want)
		}
	}
}
