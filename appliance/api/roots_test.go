package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// TestRootsNeedAnAgent: an agent that knows layouts, and not those with roots that are partitions, gets none of these.
func TestRootsNeedAnAgent(t *testing.T) {
	const doc = `{"version":1,"disks":[{"id":"main","match":{"size":"largest"},"partitions":[` +
		`{"id":"esp","use":"esp"},{"id":"a","use":"root","size":"20G"},{"id":"b","use":"root","size":"20G"},` +
		`{"id":"both","use":"persistent","size":"rest"}]}]}`
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	in := Install{Image: "web", Layout: json.RawMessage(doc), Plan: hash}
	if _, err := operator.Install(ctx, mac, in); err != nil {
		t.Fatal(err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings, job.FeatureLayout)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a layout with roots that are partitions: make a new one") {
		t.Errorf("Hello() of an agent of before = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureRoots)
	if w, err := agent.Hello(ctx, hello); err != nil || w.Job == nil || string(w.Job.Layout) != doc {
		t.Errorf("Hello() = %+v, %v, want the job", w.Job, err)
	}
}
