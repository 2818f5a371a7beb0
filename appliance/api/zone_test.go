package api

import (
	"encoding/json"
	"testing"
	"time"
	_ "time/tzdata" // whatever this computer has

	"griddle/appliance/job"
)

// TestZone: the screen of a machine shows times by the clocks of its settings, of those of its site, else of the
// server.
func TestZone(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator, agent := NewClient(s.URL, adminToken, s.tls), job.NewClient(s.URL, s.tls)
	at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	shows := func() string {
		t.Helper()
		w, err := agent.Hello(ctx, job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}}})
		if err != nil {
			t.Fatal(err)
		}
		return w.Zone.At(at).Format("15:04 MST")
	}
	if got, want := shows(), job.ZoneOf(time.Now()).At(at).Format("15:04 MST"); got != want {
		t.Errorf("without settings it is %s, want %s", got, want)
	}
	s.settings = decoded(t, `{"zone":"Asia/Tokyo"}`)
	if got := shows(); got != "12:00 JST" {
		t.Errorf("with the settings of the site it is %s", got)
	}
	if _, err := operator.SetManySettings(ctx, ManySettings{Machines: map[string]json.RawMessage{
		mac: json.RawMessage(`{"zone":"America/New_York"}`)}}); err != nil {
		t.Fatal(err)
	}
	if got := shows(); got != "22:00 EST" {
		t.Errorf("with its own settings it is %s", got)
	}
	if _, err := operator.SetManySettings(ctx, ManySettings{Machines: map[string]json.RawMessage{
		mac: json.RawMessage(`{"zone":"Moon/Tycho"}`)}}); err != nil {
		t.Fatal(err)
	}
	if got, want := shows(), job.ZoneOf(time.Now()).At(at).Format("15:04 MST"); got != want {
		t.Errorf("with a zone that does not exist it is %s, want %s", got, want)
	}
}
