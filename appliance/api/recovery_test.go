package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/recoverykey"
)

// keyedLayout has a partition that a recovery key opens.
const keyedLayout = `{"version":1,"disks":[{"id":"main","match":{"size":"largest"},"partitions":[` +
	`{"id":"esp","use":"esp"},{"id":"pool","use":"pool","size":"10G"},{"id":"srv","use":"data","size":"1G",` +
	`"mount":"/srv","luks":{"unlock":["recovery","tpm2"]}}]}]}`

// TestRecoveryKey follows a recovery key: an agent that does not know it gets no job, the boot gets the key after the
// approval, an operator reads it on purpose, and it is in no log and no other answer.
func TestRecoveryKey(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	m, err := operator.Install(ctx, mac, Install{Image: "web", Layout: json.RawMessage(keyedLayout), Plan: hash})
	if err != nil || !m.Recovers || m.Secrets {
		t.Fatalf("Install() = %+v, %v, want one that needs a recovery key", m, err)
	}
	if _, err := operator.Recovery(ctx, mac, ReadRecovery{}); problem(err).Status != http.StatusNotFound ||
		!strings.Contains(err.Error(), "has no recovery key: one is made when") {
		t.Errorf("Recovery() before the install = %v", err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings, job.FeatureLayout, job.FeatureLUKS)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a layout with partitions that a recovery key opens: make a new") {
		t.Errorf("Hello() of an agent that knows no recovery key = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureRecovery)
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job == nil || !w.Job.Recovery || w.Job.Settings {
		t.Fatalf("Hello() = %+v, %v, want a job with a recovery key", w.Job, err)
	}
	got, err := agent.Recovery(ctx, w.Job.ID)
	if err != nil || got.State != job.Waiting || got.Recovery != nil {
		t.Fatalf("Recovery() before the approval = %+v, %v", got, err)
	}
	if _, err := operator.Approve(ctx, mac, got.Code); err != nil {
		t.Fatal(err)
	}
	if got, err = agent.Recovery(ctx, w.Job.ID); err != nil || got.State != job.Ready || len(got.Recovery) != 1 {
		t.Fatalf("Recovery() = %+v, %v", got, err)
	}
	key := got.Recovery[0]
	if _, err := recoverykey.Parse(key); err != nil {
		t.Errorf("the key is %q: %v", key, err)
	}
	if _, err := agent.Recovery(ctx, "x"); problem(err).Status != http.StatusConflict {
		t.Errorf("Recovery() for another job = %v, want status 409", err)
	}
	eve, hello := s.boot(t, true, hello.Features...)
	if _, err := eve.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	if got, err := eve.Recovery(ctx, w.Job.ID); err != nil || got.State != job.Waiting || got.Recovery != nil {
		t.Errorf("Recovery() of another computer = %+v, %v", got, err)
	}
	read, err := operator.Recovery(ctx, mac, ReadRecovery{Renew: true})
	if err != nil || len(read.Keys) != 1 || read.Keys[0].Key != key || read.Keys[0].Job != w.Job.ID ||
		!read.Keys[0].Renew || read.Machine != m.Name {
		t.Errorf("Recovery() of the operator = %+v, %v", read, err)
	}
	for _, do := range []func() (any, error){
		func() (any, error) { return operator.Machine(ctx, mac) },
		func() (any, error) { return operator.Settings(ctx, mac) },
		func() (any, error) { return operator.Log(ctx, mac, 0, 0) },
	} {
		said, err := do()
		if b, jerr := json.Marshal(said); err != nil || jerr != nil || strings.Contains(string(b), key[:17]) {
			t.Errorf("an answer has the key: %s, %v", b, err)
		}
	}
	if log := s.log.String(); strings.Contains(log, key[:17]) ||
		!strings.Contains(log, "an operator reads recovery keys") {
		t.Errorf("the log is\n%s", log)
	}

	// A machine with a recovery key is not deleted by accident.
	if _, err := operator.Cancel(ctx, mac); err != nil {
		t.Fatal(err)
	}
	if v, err := operator.Machine(ctx, mac); err != nil || v.RecoveryKeys != 1 {
		t.Errorf("Machine() has %d recovery keys, %v", v.RecoveryKeys, err)
	}
	if err := operator.Delete(ctx, mac, false); problem(err).Status != http.StatusConflict ||
		!strings.Contains(err.Error(), "write them down first") {
		t.Errorf("Delete() = %v, want status 409", err)
	}
	// A later job without such a partition may still need the key for what stays.
	if _, err := operator.Install(ctx, mac, Install{Image: "web", Disk: "largest"}); err != nil {
		t.Fatal(err)
	}
	if w, err = agent.Hello(ctx, func() job.Hello { h := hello; h.Boot = bootID; return h }()); err != nil ||
		w.Job == nil || !w.Job.Recovery {
		t.Fatalf("Hello() later = %+v, %v", w.Job, err)
	}
	if got, err := agent.Recovery(ctx, w.Job.ID); err != nil || len(got.Recovery) != 1 || got.Recovery[0] != key {
		t.Errorf("Recovery() later = %+v, %v", got, err)
	}
	if _, err := operator.Cancel(ctx, mac); err != nil {
		t.Fatal(err)
	}
	if err := operator.Delete(ctx, mac, true); err != nil {
		t.Errorf("Delete() of the keys too = %v", err)
	}
}
