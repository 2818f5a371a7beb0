package job

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestWhen(t *testing.T) {
	for _, c := range []struct {
		in   string
		want When
		time bool
	}{
		{"", "", false}, {"now", WhenNow, false}, {"reboot", WhenReboot, false},
		{"2026-11-30T06:00:00+01:00", "2026-11-30T05:00:00Z", true},
		{"2026-11-30t06:00:00z", "2026-11-30T06:00:00Z", true},
	} {
		got, err := ParseWhen(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseWhen(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
		if _, ok := got.Time(); ok != c.time {
			t.Errorf("When(%q) is a time: %t, want %t", got, ok, c.time)
		}
	}
	for _, in := range []string{"Now", "06:00", "tomorrow", "2026-11-30", "0001-01-01T00:00:00Z", "\x1b[2J"} {
		if got, err := ParseWhen(in); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("ParseWhen(%q) = %q, %v", in, got, err)
		}
	}
}

func TestPlanAsk(t *testing.T) {
	const one, two = "8f2b1c34-0000-4000-8000-000000000001", "8f2b1c34-0000-4000-8000-000000000002"
	got := PlanAsk{Job: strings.ToUpper(one), Have: []string{strings.ToUpper(two), two, "x", "", one}}.Bounded()
	if want := (PlanAsk{Job: one, Have: []string{two, one}}); !reflect.DeepEqual(got, want) {
		t.Errorf("Bounded() = %+v, want %+v", got, want)
	}
	var many PlanAsk
	for range 1000 {
		many.Have = append(many.Have, uuid.NewString())
	}
	if n := len(many.Bounded().Have); n != maxHave {
		t.Errorf("Bounded() has %d images, want %d", n, maxHave)
	}
}

// TestAsk: both questions go to their own path, with the token of a boot that has one.
func TestAsk(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b := new(bytes.Buffer)
		b.ReadFrom(r.Body)
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization")+" "+b.String())
		w.Write([]byte(`{"ref":"web:2@amd64","id":"i"}`))
	})
	c.token = "t"
	if got, err := c.Plan(t.Context(), PlanAsk{Kernel: true}); err != nil || got.Ref != "web:2@amd64" {
		t.Errorf("Plan() = %+v, %v", got, err)
	}
	if got, err := c.Update(t.Context(), UpdateAsk{When: WhenReboot}); err != nil || got.ID != "i" {
		t.Errorf("Update() = %+v, %v", got, err)
	}
	want := []string{PlanPath + ` Bearer t {"job":"","have":null,"kernel":true}`, UpdatePath + `  {"when":"reboot"}`}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("the server was asked\n%q, want\n%q", asked, want)
	}
}

// TestCheckInFits is the largest check-in there can be, and one that a server of an earlier version takes.
func TestCheckInFits(t *testing.T) {
	long := strings.Repeat("<", 1000) // six bytes each in JSON
	id := "8f2b1c34-0000-4000-8000-000000000001"
	in := CheckIn{Agent: long, Root: long, Trouble: long, Features: []string{long}, Boot: id,
		Job: &JobReport{ID: id, State: State(long), Phase: Phase(long), Message: long, Kernel: long,
			Progress: &Progress{WireBps: 1e300, Ways: &Ways{Now: long, Why: long}}},
		Fell:  &Fell{Time: time.Now(), Job: id, Root: long, Image: long, Reason: long},
		Kexec: &Kexec{Time: time.Now(), Root: long, Failed: true}}
	for range 1000 {
		in.Features = append(in.Features, long)
		in.Roots = append(in.Roots, Root{Name: long, Image: long, Runs: true, Good: true, Next: true})
		in.Fell.Lines = append(in.Fell.Lines, long)
	}
	b, err := json.Marshal(in.Bounded())
	if err != nil || len(b) > MaxCheckIn {
		t.Errorf("Bounded() has %d bytes, %v, want at most %d", len(b), err, MaxCheckIn)
	}
	usual := CheckIn{Agent: "v1.2.3 (2026-11-20)", Root: "@roots/web:20261120.1@amd64",
		Trouble:  strings.Repeat("x", 400),
		Features: []string{FeatureUpdate, FeatureKernel}, Boot: id}
	for range 5 {
		usual.Roots = append(usual.Roots, Root{Name: strings.Repeat("n", 64), Image: strings.Repeat("i", 64),
			Good: true})
	}
	const before = 4096
	if b, err := json.Marshal(usual.Bounded()); err != nil || len(b) > before {
		t.Errorf("a usual check-in has %d bytes, %v, want at most %d", len(b), err, before)
	}
}

// FuzzCheckIn checks that what a service says fits into a request, and stays as it is when it is bounded twice.
func FuzzCheckIn(f *testing.F) {
	f.Add([]byte(`{"agent":"1","root":"@roots/a","boot":"x","roots":[{"name":"\u202e","runs":true}],
		"job":{"id":"8F2B1C34-0000-4000-8000-000000000001","state":"done","progress":{"ways":{"why":"\u001b[2J"}}},
		"kexec":{"time":"0001-01-01T00:00:00Z","root":"\u001b[2J","failed":true},
		"fell":{"time":"9999-01-01T00:00:00Z","root":"b","lines":["\ud800","` + strings.Repeat("ü", 300) + `"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var in CheckIn
		if json.Unmarshal(b, &in) != nil {
			return
		}
		once, err := json.Marshal(in.Bounded())
		if err != nil || len(once) > MaxCheckIn {
			t.Fatalf("Bounded() has %d bytes, %v", len(once), err)
		}
		twice, err := json.Marshal(in.Bounded().Bounded())
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("Bounded() twice = %s, %v, want %s", twice, err, once)
		}
	})
}
