package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"

	"griddle/appliance/job"
)

// A machine may ask for a stream as long as it has a job, and the server says how many machines have the same.
func TestStream(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator, agent := NewClient(s.URL, adminToken, s.tls), job.NewClient(s.URL, s.tls)
	hello := job.Hello{Boot: bootID, Identity: job.Identity{MACs: []string{mac}}}
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Who     StreamAsker
		Ask     map[string]string
		Machine string
		Report  map[string]string
	}
	var p *job.Problem
	if err := agent.Stream(ctx, map[string]string{"a": "b"}, &got); !errors.As(err, &p) ||
		p.Status != http.StatusConflict {
		t.Errorf("asking without a job: %v, want a conflict", err)
	}
	for _, m := range []string{mac, "52:54:00:00:00:0b", "52:54:00:00:00:0c"} {
		if _, err := operator.Install(ctx, m, Install{Image: "web", Disk: "largest"}); err != nil {
			t.Fatal(err)
		}
	}
	relay := "52:54:00:00:00:0d"
	if m, err := operator.Relay(ctx, relay, Relay{Image: "web"}); err != nil || m.Job.Spec.Kind != job.Relay ||
		m.Job.Spec.Disk != "" {
		t.Fatalf("Relay() = %+v, %v", m, err)
	}
	if err := agent.Stream(ctx, map[string]string{"a": "b"}, &got); err != nil || got.Who.Expected != 3 ||
		got.Who.Relay || got.Who.Machine == "" || !reflect.DeepEqual(got.Ask, map[string]string{"a": "b"}) {
		t.Errorf("Stream() = %+v, %v", got, err)
	}
	other := job.NewClient(s.URL, s.tls)
	w, err := other.Hello(ctx,
		job.Hello{Boot: "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02", Identity: job.Identity{MACs: []string{relay}}})
	if err != nil || w.Job == nil || w.Job.Kind != job.Relay {
		t.Fatalf("the relay's hello = %+v, %v", w, err)
	}
	if err := other.Stream(ctx, map[string]string{}, &got); err != nil || !got.Who.Relay || got.Who.Expected != 3 {
		t.Errorf("the relay's Stream() = %+v, %v", got, err)
	}
	if err := other.Relay(ctx, map[string]string{"c": "d"}, &got); err != nil || got.Machine != w.Machine ||
		got.Report["c"] != "d" {
		t.Errorf("Relay() = %+v, %v", got, err)
	}
	// A relay begins, and ends, without a disk.
	for i, e := range []job.Event{{State: job.Started, Phase: job.PhaseReceive}, {State: job.Done}} {
		e.Seq, e.Job = uint64(i+1), w.Job.ID
		ack, err := other.Events(ctx, job.Events{Boot: "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f02", Events: []job.Event{e}})
		if err != nil || ack.Cancelled {
			t.Fatalf("event %d: %+v, %v", i, ack, err)
		}
		if m, err := operator.Machine(ctx, relay); err != nil ||
			m.Status != []string{"relaying", "known"}[i] && m.Status != []string{"relaying", "new"}[i] {
			t.Errorf("after event %d the machine is %s, %v", i, m.Status, err)
		}
	}
}

func TestControl(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	var list []string
	if err := operator.Multicast(ctx, &list); err != nil || len(list) != 1 {
		t.Errorf("Multicast() = %v, %v", list, err)
	}
	if err := operator.Control(ctx, "one", "hold", StreamControl{Seconds: 90}); err != nil {
		t.Error(err)
	}
	if err := operator.Control(ctx, "one", "cap", StreamControl{Rate: 5000}); err != nil {
		t.Error(err)
	}
	if want := []string{"hold 1m30s 0", "cap 0s 5000"}; !reflect.DeepEqual(s.air.control, want) {
		t.Errorf("controlled %q, want %q", s.air.control, want)
	}
	var p *job.Problem
	if err := operator.Control(ctx, "two", "stop", StreamControl{}); !errors.As(err, &p) ||
		p.Status != http.StatusNotFound {
		t.Errorf("Control() of another = %v, want not found", err)
	}
	var none json.RawMessage
	if err := NewClient(s.URL, "wrong", s.tls).Multicast(ctx, &none); !errors.As(err, &p) ||
		p.Status != http.StatusUnauthorized {
		t.Errorf("Multicast() with a wrong token = %v", err)
	}
}
