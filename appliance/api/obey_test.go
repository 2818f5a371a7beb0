package api

import (
	"net/http"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/rule"
)

// blankDisk is a disk that was read and has nothing on it.
func blankDisk() job.Disk {
	return job.Disk{Path: "/dev/sda", Serial: "S1", Size: 64 << 30, SectorSize: 512, Sampled: job.Zeros}
}

func (s *site) rules(t *testing.T, rules ...rule.Rule) {
	t.Helper()
	if _, err := s.fleet.SetRules(t.Context(), rule.Document{Version: 1, Rules: rules}, ""); err != nil {
		t.Fatal(err)
	}
}

// TestObey gives a machine with a blank disk the job of its rule, with the settings of that: at its first hello, again
// at the next ones, and never a second one.
func TestObey(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	s.rules(t, rule.Rule{Name: "lab", Install: &rule.Install{Image: "web", Disk: "largest",
		Settings: []byte(`{"zone":"Europe/Berlin"}`)}})
	agent, hello := s.boot(t, true, job.FeatureSettings)
	hello.Inventory.Disks = []job.Disk{blankDisk()}
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job == nil || w.Job.Image.Ref != "web:1@amd64" || w.Job.Disk != "largest" || w.Job.Erase != "" ||
		w.Job.Plan != "" || !w.Job.Settings || w.Job.Home.Token == "" {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	id := w.Job.ID
	got, err := agent.Settings(ctx)
	if err != nil || got.State != job.Ready || !strings.Contains(string(got.Settings), "Europe/Berlin") {
		t.Errorf("Settings() = %s, %v", got.Settings, err)
	}
	if w, err = agent.Hello(ctx, hello); err != nil || w.Job == nil || w.Job.ID != id {
		t.Errorf("the second Hello() = %+v, %v", w.Job, err)
	}
	if _, err := agent.Events(ctx, job.Events{Boot: hello.Boot, Events: []job.Event{
		{Seq: 1, Job: id, State: job.Started, Disk: "S1"}, {Seq: 2, Job: id, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	s.rules(t, rule.Rule{Name: "other", Install: &rule.Install{Image: "web", Disk: "smallest"}})
	if w, err = agent.Hello(ctx, hello); err != nil || w.Job != nil || len(w.Images) == 0 {
		t.Errorf("Hello() of an installed machine = %+v, %v", w, err)
	}
	operator := NewClient(s.URL, adminToken, s.tls)
	all, err := operator.Settings(ctx, mac)
	if err != nil || len(all.Values) == 0 || all.Values[0].From != "rule lab" {
		t.Errorf("Settings() of the operator = %+v, %v", all.Values, err)
	}
}

// TestObeyErasesNothing has data on the disk of a machine stop a rule, with each content that a disk can have. The
// machine asks its user then, and its journal says why, once.
func TestObeyErasesNothing(t *testing.T) {
	data := func(change func(*job.Disk)) []job.Disk {
		d := blankDisk()
		change(&d)
		return []job.Disk{d}
	}
	for name, disks := range map[string][]job.Disk{
		"windows": data(func(d *job.Disk) {
			d.Table, d.Sampled = "gpt", ""
			d.Partitions = []job.Partition{{Number: 1, Start: 1 << 20, Size: 32 << 30, Filesystem: "ntfs", Label: "C"}}
		}),
		"a filesystem": data(func(d *job.Disk) { d.Signature = "ext4" }),
		"not read":     data(func(d *job.Disk) { d.Sampled = "" }),
		"unknown":      data(func(d *job.Disk) { d.Sampled = "bytes that are not zero" }),
		"a pool":       data(func(d *job.Disk) { d.Installed = bootID }),
		"a mark":       data(func(d *job.Disk) { d.Unfinished = bootID }),
		"no disk":      nil,
		"two disks": append(data(func(*job.Disk) {}), job.Disk{Path: "/dev/sdb", Size: 64 << 30,
			Sampled: job.Zeros}),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), newSite(t)
			s.rules(t, rule.Rule{Name: "lab", Install: &rule.Install{Image: "web", Disk: "largest"}})
			agent, hello := s.boot(t, true)
			hello.Inventory.Disks = disks
			for range 2 {
				if w, err := agent.Hello(ctx, hello); err != nil || w.Job != nil || len(w.Images) == 0 {
					t.Errorf("Hello() = %+v, %v", w, err)
				}
			}
			m, err := NewClient(s.URL, adminToken, s.tls).Machine(ctx, mac)
			if err != nil || len(m.Jobs) != 0 {
				t.Errorf("Machine() = %+v, %v", m.Jobs, err)
			}
			log, err := NewClient(s.URL, adminToken, s.tls).Log(ctx, mac, 0, 0)
			if err != nil || len(log.Entries) != 1 || !strings.HasPrefix(log.Entries[0].Event.Message,
				"rule lab installs nothing here: ") {
				t.Errorf("Log() = %+v, %v", log.Entries, err)
			}
		})
	}
}

// TestObeyStops notes what else keeps a rule from its install: an image that does not exist, and settings of the
// machine with mistakes.
func TestObeyStops(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	s.rules(t, rule.Rule{Name: "lab", Install: &rule.Install{Image: "nothing", Disk: "largest"}})
	agent, hello := s.boot(t, true)
	hello.Inventory.Disks = []job.Disk{blankDisk()}
	if w, err := agent.Hello(ctx, hello); err != nil || w.Job != nil || len(w.Images) == 0 {
		t.Errorf("Hello() = %+v, %v", w, err)
	}
	log, err := NewClient(s.URL, adminToken, s.tls).Log(ctx, mac, 0, 0)
	if err != nil || len(log.Entries) != 1 || !strings.Contains(log.Entries[0].Event.Message, "image nothing: ") {
		t.Errorf("Log() = %+v, %v", log.Entries, err)
	}
}

// TestObeyClaims is the attack on a rule for machines of a vendor: who claims to be one waits for approval, and gets
// neither the job, nor images, nor settings.
func TestObeyClaims(t *testing.T) {
	ctx, s := t.Context(), newSite(t)
	s.rules(t, rule.Rule{Name: "dell", Match: rule.Match{Vendor: "Dell*"}, Install: &rule.Install{Image: "web",
		Disk: "largest", Settings: []byte(`{"zone":"Europe/Berlin"}`)}})
	agent, hello := s.boot(t, true, job.FeatureSettings)
	hello.Identity.Vendor, hello.Inventory.Disks = "Dell Inc.", []job.Disk{blankDisk()}
	w, err := agent.Hello(ctx, hello)
	if err != nil || w.Job != nil || len(w.Images) != 0 || w.Approval == nil || w.Approval.Code == "" {
		t.Fatalf("Hello() = %+v, %v, want a code and nothing else", w, err)
	}
	if _, err := agent.Choose(ctx, job.Choice{Image: "web", Disk: "largest"}); problem(err).Status !=
		http.StatusForbidden {
		t.Errorf("Choose() = %v, want status 403", err)
	}
	if _, err := agent.Settings(ctx); problem(err).Status != http.StatusConflict {
		t.Errorf("Settings() = %v, want status 409", err)
	}
	if _, err := NewClient(s.URL, adminToken, s.tls).Approve(ctx, mac, w.Approval.Code); err != nil {
		t.Fatal(err)
	}
	if w, err = agent.Hello(ctx, hello); err != nil || w.Job == nil {
		t.Errorf("Hello() after the approval = %+v, %v", w, err)
	}
}
