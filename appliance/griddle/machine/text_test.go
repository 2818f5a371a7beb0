package machine

import (
	"testing"

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
