package resident

import (
	"os"
	"testing"
	"time"
)

// What the service notes counts for a day, and is written rarely.
func TestReached(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if Reached(dir, now) {
		t.Error("a server was reached that no one called")
	}
	for _, c := range []struct {
		after   time.Duration
		changes bool
	}{{0, true}, {10 * time.Minute, false}, {time.Hour, true}, {-time.Hour, true}} {
		at := now.Add(c.after)
		if err := noteReached(dir, at); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(dir + "/" + reachedFile)
		if err != nil || st.ModTime().Equal(at) != c.changes {
			t.Errorf("after %v the file is of %v, %v, want a change: %t", c.after, st.ModTime(), err, c.changes)
		}
	}
	now = now.Add(-time.Hour)
	for after, want := range map[time.Duration]bool{time.Minute: true, 23 * time.Hour: true, 25 * time.Hour: false,
		-1000 * time.Hour: true} {
		if got := Reached(dir, now.Add(after)); got != want {
			t.Errorf("Reached after %v = %t, want %t", after, got, want)
		}
	}
}
