package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

// TestRefused: a machine that asked to boot and got nothing is listed with the reason until it boots.
func TestRefused(t *testing.T) {
	f := open(t, Options{})
	hw := netboot.Machine{MAC: []byte{0x52, 0x54, 0, 0, 0, 0x0a}}
	f.Refused(hw, "no address is free in the pool\x1b[31m")
	all := list(t, f)
	if len(all) != 1 || all[0].Status() != "refused" ||
		all[0].Machine.Refused.Why != "no address is free in the pool [31m" {
		t.Fatalf("List() = %+v, want the machine with the reason", all)
	}
	f.Refused(hw, "the state disk is full")
	boots(t, f, macA)
	if all = list(t, f); len(all) != 1 || all[0].Status() != "new" || all[0].Machine.Refused != nil {
		t.Errorf("after it booted List() = %+v", all)
	}
	// A machine with a name keeps it, and its status where that says more.
	deploy(t, f, macA, "")
	f.Refused(hw, "the state disk is full")
	if all = list(t, f); len(all) != 1 || all[0].Machine.Refused == nil || all[0].Status() != "refused" {
		t.Errorf("a deployed machine that was refused: %+v", all)
	}
}

// TestNotHeardOf: ten minutes after it was left to its disk a machine that has not called home is shown so, with what
// to look at; where it never asked the network again, ten minutes after its install.
func TestNotHeardOf(t *testing.T) {
	for name, asks := range map[string]bool{"asks the network": true, "starts from its disk alone": false} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ctx, f := t.Context(), open(t, Options{Now: c.now})
			_, j, err := f.Install(ctx, macA, order())
			if err != nil {
				t.Fatal(err)
			}
			boot := uuid.NewString()
			g := say(t, f, "10.0.0.9", "", boot, macA)
			send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
				job.Event{Seq: 2, Job: j.Spec.ID, State: job.Done})
			if asks {
				c.pass(5 * time.Minute) // its firmware takes its time
				boots(t, f, macA)
			}
			status := func() string { return list(t, f)[0].Status() }
			c.pass(homeWithin)
			if got := status(); got != "installed" {
				t.Errorf("within ten minutes it is %q", got)
			}
			c.pass(time.Second)
			if got := status(); got != "installed, no report yet" {
				t.Errorf("after ten minutes it is %q", got)
			}
			v, _, err := f.Show(ctx, macA)
			if look := strings.Join(v.LookAt(), "\n"); err != nil || !strings.Contains(look, "eth0") ||
				!strings.Contains(look, "console") || !strings.Contains(look, "journalctl -u griddle-phone-home") {
				t.Errorf("LookAt() = %q, %v", look, err)
			}
			if _, err := f.Home(ctx, g.Home, job.HomeReport{}); err != nil || status() != "deployed" {
				t.Errorf("when it calls at last it is %q, %v", status(), err)
			}
		})
	}
}
