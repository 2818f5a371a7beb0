package powercut

import (
	"maps"
	"strings"
	"testing"
	"time"

	"griddle/appliance/api"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/pool/history"
)

const oldRoot, newRoot = "web-1@amd64", "web-2@amd64"

var installed = time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)

// machine is one before its job.
func machine() Before {
	return Before{Said: Said{Root: oldRoot, Data: map[string]string{"home": "h", "persistent": "p", "identity": "i"},
		History: []history.Event{{Time: installed, Kind: history.Blessed, Root: oldRoot}},
		Env:     bootenv.Env{Good: oldRoot}}, Image: "web:1@amd64", New: newRoot, Next: "web:2@amd64"}
}

// after a power cut, with more events of the new root.
func afterCut(root string, env bootenv.Env, more ...history.Kind) Said {
	b := machine()
	s := b.Said
	s.Root, s.Env, s.Data = root, env, maps.Clone(s.Data)
	for i, k := range more {
		s.History = append(s.History, history.Event{Time: installed.Add(time.Duration(i+1) * time.Minute), Kind: k,
			Root: newRoot})
		if s.Roots = []string{oldRoot}; k != history.Deleted {
			s.Roots = append(s.Roots, newRoot)
		}
	}
	return s
}

func TestJudge(t *testing.T) {
	const made, switched, started, blessed, failed, deleted = history.Made, history.Switched, history.Started,
		history.Blessed, history.Failed, history.Deleted
	old, next := bootenv.Env{Good: oldRoot}, bootenv.Env{Good: newRoot}
	trial := bootenv.Env{Good: oldRoot, Candidate: newRoot, Tries: 1}
	file := func(s *Said) { s.Data["home"] = "x" }
	unit := func(s *Said) { s.Failed = "a.service" }
	gone := func(s *Said) { s.History = nil }
	vanish := func(s *Said) { s.Roots = []string{oldRoot} }
	appear := func(s *Said) { s.Roots = []string{oldRoot, newRoot} }
	change := func(s Said, f func(*Said)) Said { f(&s); return s }
	tests := []struct {
		name string
		now  Said
		saw  Saw
		want string // of what is wrong; "" for nothing
	}{
		{"nothing happened", afterCut(oldRoot, old), Saw{}, ""},
		{"a root was made", afterCut(oldRoot, old, made), Saw{}, ""},
		{"it goes on", afterCut(oldRoot, trial, made, deleted, made, switched), Saw{}, ""},
		{"the new root", afterCut(newRoot, next, made, switched, started, blessed), Saw{Switched: true}, ""},
		{"the trial failed", afterCut(oldRoot, old, made, switched, started, failed), Saw{Switched: true}, ""},
		{"GRUB was cut", afterCut(oldRoot, old, made, switched, failed), Saw{Switched: true}, ""},

		{"a file of a home", change(afterCut(oldRoot, old), file), Saw{}, "home differs"},
		{"a unit", change(afterCut(oldRoot, old), unit), Saw{}, "units failed"},
		{"the history is gone", change(afterCut(oldRoot, old), gone), Saw{}, "lost events"},
		{"the root is gone", change(afterCut(oldRoot, old, made), vanish), Saw{}, "the roots are"},
		{"the making is not known", change(afterCut(oldRoot, old), appear), Saw{}, "the roots are"},
		{"another root", afterCut("web-0@amd64", bootenv.Env{Good: "web-0@amd64"}), Saw{}, "runs web-0@amd64"},
		{"the switch is not known", afterCut(newRoot, next, made, started, blessed), Saw{},
			`of web-2@amd64 after "made"`},
		{"nothing was made", afterCut(newRoot, next, switched, started, blessed), Saw{},
			`of web-2@amd64 after ""`},
		{"blessed twice", afterCut(newRoot, next, made, switched, started, blessed, blessed), Saw{},
			`of web-2@amd64 after "blessed"`},
		{"not blessed", afterCut(newRoot, next, made, switched, started), Saw{}, "runs web-2@amd64"},
		{"a trial without end", afterCut(oldRoot, old, made, switched, started), Saw{}, "runs web-1@amd64"},
		{"not forgotten", afterCut(oldRoot, trial, made, switched, started, failed), Saw{}, "grubenv has"},
		{"the switch is lost", afterCut(oldRoot, old, made), Saw{Switched: true}, "had switched"},
		{"the blessing is lost", afterCut(oldRoot, old, made, switched, started, failed), Saw{Blessed: true},
			"was blessed before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(machine().Judge(tt.now, tt.saw), "; ")
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("Judge = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKnownJudge(t *testing.T) {
	known := func(root, image string, s job.State, ends ...job.State) Known {
		k := Known{Machine: api.Machine{Service: &fleet.Service{Boot: "b", Root: "@roots/" + root},
			Deployed: &fleet.Deployment{Image: image},
			Jobs:     []fleet.Job{{Spec: job.Spec{ID: "j"}, State: s}}}}
		for _, e := range ends {
			k.Journal = append(k.Journal, fleet.Entry{Event: job.Event{Job: "j", State: e}})
		}
		return k
	}
	old, next := bootenv.Env{Good: oldRoot}, bootenv.Env{Good: newRoot}
	blessed := afterCut(newRoot, next, history.Made, history.Switched, history.Started, history.Blessed)
	failed := afterCut(oldRoot, old, history.Made, history.Switched, history.Failed)
	deleted := afterCut(oldRoot, old, history.Made, history.Switched, history.Failed, history.Deleted)
	tests := []struct {
		name  string
		known Known
		now   Said
		want  string
	}{
		{"done", known(newRoot, "web:2@amd64", job.Done, job.Started, job.Done), blessed, ""},
		{"failed", known(oldRoot, "web:1@amd64", job.Failed, job.Failed), failed, ""},
		{"failed and deleted", known(oldRoot, "web:1@amd64", job.Failed, job.Failed), deleted, ""},
		{"not failed yet", known(oldRoot, "web:1@amd64", job.Started, job.Failed), deleted, "job is started"},
		{"goes on", known(oldRoot, "web:1@amd64", job.Started, job.Started), afterCut(oldRoot, old), ""},
		{"not heard yet", known(newRoot, "web:1@amd64", job.Started), blessed, "job is started"},
		{"another image", known(newRoot, "web:1@amd64", job.Done), blessed, "to be deployed"},
		{"another root", known(oldRoot, "web:2@amd64", job.Done), blessed, "last check-in"},
		{"invented", known(oldRoot, "web:1@amd64", job.Failed), afterCut(oldRoot, old), "job is failed"},
		{"ended twice", known(newRoot, "web:2@amd64", job.Done, job.Failed, job.Done), blessed, "failed in the phase"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.now.Boot = "b"
			got := strings.Join(tt.known.Judge(machine(), tt.now, "j"), "; ")
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("Judge = %q, want %q", got, tt.want)
			}
		})
	}
}

// An install ends on the disk and then by the report of its system, each once.
func TestEnds(t *testing.T) {
	end := func(p job.Phase, s job.State) fleet.Entry {
		return fleet.Entry{Event: job.Event{Job: "j", Phase: p, State: s}}
	}
	done, up := end(job.PhaseFinish, job.Done), end("", job.Done)
	other := up
	other.Event.Job = "before"
	for name, c := range map[string]struct {
		journal []fleet.Entry
		right   bool
	}{
		"installed":           {[]fleet.Entry{other, end("", job.Pending), done}, true},
		"up":                  {[]fleet.Entry{other, end("", job.Pending), done, up}, true},
		"installed twice":     {[]fleet.Entry{done, done, up}, false},
		"up twice":            {[]fleet.Entry{done, up, up}, false},
		"failed and up":       {[]fleet.Entry{end(job.PhaseReceive, job.Failed), up}, false},
		"up before installed": {[]fleet.Entry{up, done}, false},
	} {
		if wrong := (Known{Journal: c.journal}).ends("j"); (wrong == nil) != c.right {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}
