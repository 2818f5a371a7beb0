package resident

import (
	"os"
	"slices"
	"testing"
	"time"

	"griddle/appliance/job"
	jump "griddle/initramfs/kexec/attempt"
)

// TestKexec: the service of the system that comes up says what became of a start by kexec, at each check-in.
func TestKexec(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	o.Updates = func() bool { return true }
	dir, err := os.OpenRoot(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	checkIn := func(started jump.Start, feature bool, want *job.Kexec) {
		t.Helper()
		s.got, o.Started = nil, started
		if _, err := rounds(t, o, 2); err != nil || len(s.got) != 2 {
			t.Fatalf("the server got %+v, %v", s.got, err)
		}
		for _, got := range s.got {
			if has := slices.Contains(got.Features, job.FeatureKexec); has != feature ||
				(got.Kexec == nil) != (want == nil) || want != nil && *got.Kexec != *want {
				t.Errorf("the server got %+v with the features %q, want %+v", got.Kexec, got.Features, want)
			}
		}
	}
	old := jump.Start{Boot: "1", CommandLine: "rw"}
	checkIn(old, true, nil)
	at := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	tried := jump.Attempt{Time: at, Root: "web-2", Boot: "1", State: jump.Tried}
	for line, failed := range map[string]bool{"rw " + jump.Word: false, "rw": true} {
		if err := jump.Write(dir, tried); err != nil {
			t.Fatal(err)
		}
		checkIn(old, false, nil) // the old system still runs
		checkIn(jump.Start{Boot: "2", CommandLine: line}, true, &job.Kexec{Time: at, Root: "web-2", Failed: failed})
	}
}
