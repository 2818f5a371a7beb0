package api

import (
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// TestErase: an erase names a disk that the machine has, and only an agent that can erase gets it. It fetches nothing,
// and gets neither settings nor a token for a system.
func TestErase(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	operator := NewClient(s.URL, adminToken, s.tls)
	agent, hello := s.boot(t, true, job.FeatureSettings)
	hello.Inventory.Disks = []job.Disk{{Path: "/dev/sda", Serial: "S1", Size: 1e12, SectorSize: 512},
		{Path: "/dev/sdb", Serial: "S2", Size: 2e12, SectorSize: 512}}
	if _, err := agent.Hello(ctx, hello); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[Erase]string{
		{}:                             "must name one disk",
		{Disk: "largest"}:              `no disk is named "largest"; this machine has /dev/sda, 1.00 TB, serial S1`,
		{Disk: "/dev/sda"}:             "name disk /dev/sda, 1.00 TB, serial S1 by S1",
		{Disk: "S1", Level: "destroy"}: "not a level of erasing",
	} {
		if _, err := operator.Erase(ctx, mac, in); problem(err).Status != http.StatusBadRequest ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("Erase(%+v) = %v, want %q", in, err, want)
		}
	}
	got, err := operator.Erase(ctx, mac, Erase{Disk: "S1", Level: "purge"})
	if err != nil || got.Status != "erase pending" || got.Job.Spec.Erase != "S1" || got.Job.Spec.Level != job.Purge {
		t.Fatalf("Erase() = %+v, %v", got, err)
	}
	if _, err := agent.Hello(ctx, hello); problem(err).Status != http.StatusUpgradeRequired ||
		!strings.Contains(err.Error(), "too old for erasing a disk") {
		t.Errorf("Hello() of an agent of before = %v, want status 426", err)
	}
	hello.Features = append(hello.Features, job.FeatureErase)
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job == nil || w.Job.Kind != job.Erase || w.Job.Erase != "S1" || w.Job.Disk != "" ||
		w.Job.Service || w.Job.Settings || w.Job.Home.Token != "" || len(w.Job.Sources) > 0 {
		t.Errorf("Hello() = %+v, %v", w.Job, err)
	}
	if _, err := agent.Settings(ctx); err == nil {
		t.Error("a boot that erases gets the settings of the machine")
	}
	if _, err := operator.Erase(ctx, mac, Erase{Disk: "S2"}); problem(err).Status != http.StatusConflict ||
		!strings.Contains(err.Error(), "griddle machine cancel") {
		t.Errorf("another erase: %v", err)
	}
	if got, err = operator.Erase(ctx, mac, Erase{Disk: "S2", Replace: true}); err != nil || got.Job.Spec.Erase != "S2" {
		t.Errorf("another erase in its place: %+v, %v", got.Job, err)
	}
	// A machine that was never seen: the job waits for it, and the agent looks for the disk.
	if _, err := operator.Erase(ctx, "52:54:00:00:00:77", Erase{Disk: "S9"}); err != nil {
		t.Errorf("a machine that is not known: %v", err)
	}
}
