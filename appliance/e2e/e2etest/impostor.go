package e2etest

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/e2e"
	"griddle/appliance/job"
)

// Impostor is a computer on the LAN that says to be m, and has another key.
type Impostor struct {
	client *job.Client
	hello  job.Hello
}

// NewImpostor makes the one computer of a room that says to be m.
func NewImpostor(ctx context.Context, t *testing.T, r *e2e.Room, s *e2e.Site, m *e2e.Machine) *Impostor {
	t.Helper()
	const name = "impostor"
	if err := r.Computer(ctx, name, "10.77.0.9"); err != nil {
		t.Fatal(err)
	}
	at, err := r.Reach(name, e2e.ServerAddress+":8443")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := s.CA()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := job.PinnedTLS(ca)
	if err != nil {
		t.Fatal(err)
	}
	key, err := job.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = append(conf.Certificates, key)
	conf.ServerName = e2e.ServerAddress
	return &Impostor{job.NewClient("https://"+at, conf), job.Hello{Boot: uuid.NewString(), Agent: "impostor",
		Identity: job.Identity{UUID: m.UUID, MACs: []string{m.MAC}}, Features: []string{job.FeatureSettings}}}
}

// GetsNoSecret says hello, asks for the settings, and fails the test where it gets any.
func (i *Impostor) GetsNoSecret(ctx context.Context, t *testing.T) {
	t.Helper()
	w, err := i.client.Hello(ctx, i.hello)
	if err != nil {
		t.Error(err)
		return
	}
	got, err := i.client.Settings(ctx)
	t.Logf("the impostor has a job: %t; it asks for the settings: %q, %v", w.Job != nil, got.State, err)
	if err == nil && got.State != job.Waiting || len(got.Settings) > 0 {
		t.Errorf("the impostor gets %+v, want to wait or to be refused", got)
	}
	if w.Job != nil && err != nil {
		t.Errorf("the impostor has a job and no answer: %v", err)
	}
}
