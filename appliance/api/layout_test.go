package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// laid is a layout for the largest disk, and hash of a plan.
const (
	laid = `{"version":1,"disks":[{"id":"main","match":{"size":"largest"},"partitions":[{"id":"esp","use":"esp"},` +
		`{"id":"pool","use":"pool","size":"rest"}]}]}`
	hash = "sha256:66cd465765f4560e457e273aefab6c5af54dfd5ce0c94a47c92b4c65a7e8524f"
)

// TestLayoutNeedsAnAgent: an agent that does not know layouts gets no job with one, whether an operator ordered it or
// it was chosen, and is told why. One that knows them does.
func TestLayoutNeedsAnAgent(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	in := Install{Image: "web", Layout: json.RawMessage(laid), Plan: hash, Disk: "largest"}
	if _, err := operator.Install(ctx, mac, in); problem(err).Status != 400 ||
		!strings.Contains(err.Error(), "leave out the disk rule") {
		t.Errorf("Install() with a layout and a disk = %v", err)
	}
	in.Disk = ""
	if _, err := operator.Install(ctx, mac, in); err != nil {
		t.Fatal(err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a layout of disks: make a new one with `make boot`") {
		t.Errorf("Hello() of an agent of before = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureLayout)
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job == nil || string(w.Job.Layout) != laid || w.Job.Plan != hash || w.Job.Disk != "" {
		t.Errorf("Hello() = %+v, %v, want the job", w.Job, err)
	}
	if _, err := operator.Cancel(ctx, mac); err != nil {
		t.Fatal(err)
	}
	choice := job.Choice{Image: "web", Layout: json.RawMessage(laid), Plan: hash}
	if spec, err := agent.Choose(ctx, choice); err != nil || string(spec.Layout) != laid || spec.Plan != hash {
		t.Errorf("Choose() = %+v, %v", spec, err)
	}
	old, hello := s.boot(t, true, job.FeatureSettings)
	hello.Identity = job.Identity{MACs: []string{"52:54:00:00:00:0b"}}
	if _, err := old.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Choose(ctx, choice); problem(err).Status != http.StatusUpgradeRequired {
		t.Errorf("Choose() of an agent of before = %v, want status 426", err)
	}
	choice.Layout = json.RawMessage(`{"version":1,"disks":[]}`)
	if _, err := agent.Choose(ctx, choice); problem(err).Status != 400 {
		t.Errorf("Choose() of a layout with mistakes = %v, want status 400", err)
	}
}

// TestVolumesNeedAnAgent gives a layout with an array only to an agent that makes arrays.
func TestVolumesNeedAnAgent(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	const doc = `{"version":1,"disks":[{"id":"a","match":{"transport":"nvme"},"partitions":[{"id":"esp","use":` +
		`"esp"},{"id":"pool","use":"pool","size":"10G"},{"id":"r","use":"raid","size":"1G"}]},{"id":"b",` +
		`"match":{"transport":"sata"},"partitions":[{"id":"s","use":"raid","size":"1G"}]}],"raid":[{"id":"srv",` +
		`"level":1,"devices":["r","s"],"use":"data","mount":"/srv"}]}`
	operator := NewClient(s.URL, adminToken, s.tls)
	if _, err := operator.Install(ctx, mac, Install{Image: "web", Layout: json.RawMessage(doc),
		Plan: hash}); err != nil {
		t.Fatal(err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings, job.FeatureLayout)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a layout with raid or lvm_volgroup: make a new one") {
		t.Errorf("Hello() of an agent that makes no arrays = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureVolumes)
	if w, err := agent.Hello(ctx, hello); err != nil || w.Job == nil || string(w.Job.Layout) != doc {
		t.Errorf("Hello() = %+v, %v, want the job", w.Job, err)
	}
}

// TestEncryptedPoolNeedsAnAgent gives a layout with an encrypted pool only to an agent that installs one.
func TestEncryptedPoolNeedsAnAgent(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	const doc = `{"version":1,"disks":[{"id":"a","match":{"transport":"nvme"},"partitions":[{"id":"esp","use":` +
		`"esp"},{"id":"boot","use":"boot"},{"id":"pool","use":"pool","size":"rest","luks":{"unlock":["passphrase"]}}]}]}`
	operator := NewClient(s.URL, adminToken, s.tls)
	if _, err := operator.Install(ctx, mac, Install{Image: "web", Layout: json.RawMessage(doc),
		Plan: hash}); err != nil {
		t.Fatal(err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings, job.FeatureLayout, job.FeatureLUKS)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a layout whose pool is encrypted: make a new one") {
		t.Errorf("Hello() of an agent that installs no encrypted pool = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureEncryptedPool)
	if w, err := agent.Hello(ctx, hello); err != nil || w.Job == nil || string(w.Job.Layout) != doc {
		t.Errorf("Hello() = %+v, %v, want the job", w.Job, err)
	}
}
