package powercut

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// The same seed gives the same case, and chance takes every step of every kind.
func TestDraw(t *testing.T) {
	for _, k := range []Kind{Live, Network, Reinstall, First} {
		seen := map[string]bool{}
		for n := range 2000 {
			c := Draw(7, "bios", k, n)
			if again := Draw(7, "bios", k, n); again != c {
				t.Fatalf("Draw gave %v, then %v", c, again)
			}
			line := Timeline(k, c.Kexec)
			if c.Step >= len(line) || c.After < 0 || c.After >= line[c.Step].Usual {
				t.Fatalf("Draw = %+v, which is in no step", c)
			}
			if k == First && !c.Network {
				t.Fatalf("Draw = %+v, an install on an empty disk that does not continue", c)
			}
			seen[line[c.Step].Name] = true
		}
		for _, kexec := range []bool{false, true} {
			for _, s := range Timeline(k, kexec) {
				if !seen[s.Name] {
					t.Errorf("%s: no case has a cut in the step %q", k, s.Name)
				}
			}
		}
	}
	if a, b := Draw(1, "bios", Live, 0), Draw(2, "bios", Live, 0); a == b {
		t.Errorf("two seeds gave the same case %v", a)
	}
}

// A step that is not the first one begins with a line.
func TestTimeline(t *testing.T) {
	for _, k := range []Kind{Live, Network, Reinstall, First} {
		for i, s := range Timeline(k, false)[1:] {
			if s.Console+string(s.Phase)+s.Event == "" || s.Usual <= 0 {
				t.Errorf("%s: step %d is %+v", k, i+1, s)
			}
		}
	}
}

// A step of a job begins with an entry of that job, and not with one of an earlier job.
func TestStepEntry(t *testing.T) {
	entry := func(id string, p job.Phase) string {
		b, err := json.Marshal(fleet.Entry{ID: 7, Event: job.Event{Seq: 3, Job: id, Phase: p, Level: job.Info}})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	is := regexp.MustCompile(Step{Phase: job.PhaseVerify}.Entry("j-2"))
	for line, want := range map[string]bool{
		entry("j-2", job.PhaseVerify): true,
		entry("j-1", job.PhaseVerify): false,
		entry("j-2", job.PhaseCheck):  false,
	} {
		if got := is.MatchString(line); got != want {
			t.Errorf("of %s: %v, want %v", line, got, want)
		}
	}
}

func TestCaseString(t *testing.T) {
	c := Case{Kind: Live, Kexec: true, Step: 3, After: 1.5e9, Again: 2e9, End: true, Network: true}
	const want = `live, kexec: cut 1.50 s after "verify" began, and 2.00 s after the next power on, ` +
		`then a start from the network, to the end of the job`
	if got := c.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !strings.HasPrefix(Case{Kind: First}.String(), "first: cut 0.00 s after \"boot image\" began") {
		t.Errorf("%q", Case{Kind: First})
	}
}
