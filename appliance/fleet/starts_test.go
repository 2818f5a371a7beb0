package fleet

import (
	"testing"

	"griddle/appliance/job"
)

// What starts an installed system: that of a disk for itself, what the install reported, and what the machine says
// later. What no machine can have counts for nothing: it becomes a part of a script.
func TestStarts(t *testing.T) {
	const id, guid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "3e6be9de-8139-41d1-9106-a43f08d823a6"
	own := job.ESPLabel(id)
	for _, c := range []struct {
		name     string
		reported *job.Starts
		disks    []job.Disk
		want     job.Starts
	}{
		{"an agent of before", nil, nil, job.Starts{TableID: id, ESP: own}},
		{"a disk for itself", &job.Starts{TableID: id, ESP: own}, nil, job.Starts{TableID: id, ESP: own}},
		{"a shared disk", &job.Starts{TableID: guid}, nil, job.Starts{TableID: guid}},
		{"an MBR, with an ESP of its own", &job.Starts{TableID: "1234abcd", ESP: own}, nil,
			job.Starts{TableID: "1234abcd", ESP: own}},
		{"an MBR without a signature", &job.Starts{}, nil, job.Starts{TableID: id}},
		{"what cannot be", &job.Starts{TableID: "../any", ESP: "SYSTEM"}, nil, job.Starts{TableID: id}},
		{"another ID since", &job.Starts{TableID: "1234abcd"}, []job.Disk{{TableID: "11111111"},
			{Installed: id, TableID: "5678abcd"}}, job.Starts{TableID: "5678abcd"}},
		{"a mirror", &job.Starts{TableID: guid, Other: "1234abcd", ESP: own}, nil,
			job.Starts{TableID: guid, Other: "1234abcd", ESP: own}},
		{"a mirror whose first disk is gone", &job.Starts{TableID: guid, Other: "1234abcd", ESP: own},
			[]job.Disk{{Installed: id, TableID: "1234abcd"}}, job.Starts{TableID: "1234abcd", ESP: own}},
		{"a mirror with a new disk", &job.Starts{TableID: guid, Other: "1234abcd", ESP: own},
			[]job.Disk{{Installed: id, TableID: "5678abcd"}, {Installed: id, TableID: guid}},
			job.Starts{TableID: guid, Other: "5678abcd", ESP: own}},
		{"a mirror that says what cannot be", &job.Starts{TableID: guid, Other: "${x}", ESP: own}, nil,
			job.Starts{TableID: guid, ESP: own}},
		{"a disk of another job", &job.Starts{TableID: "1234abcd"}, []job.Disk{{Installed: guid, TableID: "5678abcd"}},
			job.Starts{TableID: "1234abcd"}},
		{"a disk that says what cannot be", &job.Starts{TableID: "1234abcd"}, []job.Disk{{Installed: id,
			TableID: "${net0/mac}"}}, job.Starts{TableID: "1234abcd"}},
	} {
		if got := starts(Job{Spec: job.Spec{ID: id}, Starts: c.reported}, c.disks); got != c.want {
			t.Errorf("%s: it starts by %+v, want %+v", c.name, got, c.want)
		}
	}
}
