package machine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

func TestMachineStatus(t *testing.T) {
	why := &fleet.Refusal{Why: "no address is free\x1b"}
	for _, c := range []struct {
		m    api.Machine
		want string
	}{
		{api.Machine{Status: "new"}, "new"},
		{api.Machine{Status: "refused", Refused: why}, "refused: no address is free"},
		{api.Machine{Status: "pending", Refused: why}, "pending, refused: no address is free"},
		{api.Machine{Status: "deployed", Conflicts: []fleet.Conflict{{}}}, "deployed, conflicts (see show)"},
		{api.Machine{Status: "installing", Job: &fleet.Job{Phase: job.PhaseReceive, Progress: &job.Progress{Done: 1,
			Total: 2}}}, "receive 50%"},
		{api.Machine{Status: "installed, no report yet"}, "installed, no report yet"},
	} {
		if got := status(c.m); got != c.want {
			t.Errorf("status(%+v) = %q, want %q", c.m, got, c.want)
		}
	}
}

// TestKexecLines: what came of starts without the firmware.
func TestKexecLines(t *testing.T) {
	at := time.Date(2026, 11, 29, 6, 0, 0, 0, time.Local)
	of := func(failed bool) *job.Kexec { return &job.Kexec{Time: at, Root: "web-2\x1b[2J", Failed: failed} }
	model := job.Identity{Vendor: "Dell Inc.", Product: "7090"}
	const fails = "2026-11-29 06:00:00  web-2 [2J did not come up without the firmware: "
	const again = "  To have it tried again, remove /persistent/griddle/kexec.json on "
	for _, c := range []struct {
		name string
		m    api.Machine
		want []string
	}{
		{"never", api.Machine{}, nil},
		{"works", api.Machine{Kexec: of(false)},
			[]string{"2026-11-29 06:00:00  web-2 [2J was started without the firmware"}},
		{"failed", api.Machine{Kexec: of(true), KexecFailed: "lab-1", Name: "lab-1", Identity: model}, []string{
			fails + "machines of its model restart through it",
			again + "lab-1."}},
		{"failed, of no model", api.Machine{Kexec: of(true), KexecFailed: "lab-1", Name: "lab-1"}, []string{
			fails + "the machine restarts through it",
			again + "lab-1."}},
		{"failed on another", api.Machine{Kexec: of(false), KexecFailed: "lab-2", Name: "lab-1"}, []string{
			"not used: it failed on lab-2, a machine of the same model", again + "lab-2."}},
	} {
		var got []string
		kexecLines(func(_, value string) { got = append(got, value) }, c.m)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestServiceLines: what root on a machine sent is shown, and moves no cursor.
func TestServiceLines(t *testing.T) {
	m := api.Machine{Name: "web1", Service: &fleet.Service{From: "10.0.0.7", Agent: "2 of 2026\x1b[2J",
		Root: "@roots/web", Sealed: true, Notice: 7, Trouble: "it does\nnot work"}}
	var out strings.Builder
	if err := pageOf(&out, m); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"from 10.0.0.7, agent 2 of 2026 [2J, root @roots/web\n",
		"Its key is sealed by its TPM. It has notice 7 of this site.\n", "It reports: it does not work\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
	if agentOf(m) != "2 of 2026 [2J" || noticeOf(m) != "7" || agentOf(api.Machine{}) != "" ||
		noticeOf(api.Machine{}) != "0" {
		t.Errorf("the columns are %q and %q", agentOf(m), noticeOf(m))
	}
}

// TestNetworkLines: what a switch sent is shown, and moves no cursor.
func TestNetworkLines(t *testing.T) {
	v := &job.Inventory{NICs: []job.NIC{
		{Name: "enp1s0", MAC: "52:54:00:00:00:01", Driver: "e1000e", Address: "10.0.0.5/24", Carrier: true,
			Neighbour: job.Neighbour{Switch: "core-1\x1b[2J", Port: "Gi1/0/7", Description: "lab 1, desk 7"}},
		{Name: "enp2s0", MAC: "52:54:00:00:00:02"}}}
	var got []string
	inventoryLines(func(name, value string) {
		if value != "" {
			got = append(got, strings.TrimSpace(name+" "+value))
		}
	}, v)
	want := []string{"network enp1s0 52:54:00:00:00:01, driver e1000e, 10.0.0.5/24",
		"connected to core-1 [2J, port Gi1/0/7 (lab 1, desk 7)", "network enp2s0 52:54:00:00:00:02, no link"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
