package api

import (
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// TestMatchNeedsAnAgent: an agent that does not know rules that begin with "match:" gets no job with one, and is told
// why. One that knows them does, and gets the keys in one order.
func TestMatchNeedsAnAgent(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	in := Install{Image: "web", Disk: "match:size=huge"}
	if _, err := operator.Install(ctx, mac, in); problem(err).Status != 400 ||
		!strings.Contains(err.Error(), `"huge" is not largest`) {
		t.Errorf("Install() with a mistake in the rule = %v", err)
	}
	in.Disk = "match:transport=nvme, size=largest"
	if _, err := operator.Install(ctx, mac, in); err != nil {
		t.Fatal(err)
	}
	agent, hello := s.boot(t, true, job.FeatureSettings)
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for a disk rule that begins with match:") {
		t.Errorf("Hello() of an agent of before = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureMatch)
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job == nil || w.Job.Disk != "match:size=largest,transport=nvme" {
		t.Errorf("Hello() = %+v, %v, want the job", w.Job, err)
	}
}
