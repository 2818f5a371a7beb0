package tui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"griddle/appliance/job"
)

// TestLeaves: what the screen says of a stop in each phase of each kind of job, and that the page of a failure says the
// same.
func TestLeaves(t *testing.T) {
	const off = "Do not switch this machine off. A stop now leaves "
	const (
		nothing  = "Nothing is written yet. A stop now leaves the disk as it was."
		update   = off + "the installed system as it was."
		lost     = off + "a disk that does not boot. Its old content is lost."
		mayLose  = off + "a disk that may not boot. Its old content is lost."
		blank    = off + "a disk that does not boot. It was blank before."
		mayBlank = off + "a disk that may not boot. It was blank before."
		kept     = off + "the earlier system and its data as they were."
		either   = off + "the earlier system or the new one, and all data."
		half     = off + "partitions that are changed in part. To complete that, start this machine from the network " +
			"again."
		shares   = off + "a new system that does not boot. What the plan keeps stays."
		mayShare = off + "a new system that may not boot. What the plan keeps stays."
		relays   = "A stop now leaves the disks of this machine as they were; other machines then fetch the image " +
			"from the server."
		erasing = " The erase continues at the next start."
	)
	layoutOf := func(form string) json.RawMessage {
		var doc json.RawMessage
		fresh := New("1.0", false, Actions{Choose: func(c job.Choice) { doc = c.Layout }})
		keys := map[string][]string{"pool": {"i", "enter", "down", "enter", "enter", "i"},
			"smaller": {"i", "enter", "enter", "enter", "enter", "i"},
			"whole":   append([]string{"i", "enter", "enter", "end", "enter"}, typed("nvme0n1")...),
			"blank":   append([]string{"i", "enter", "end", "enter", "enter"}, typed("vda")...)}
		press(t, send(fresh, shared()), keys[form]...)
		return doc
	}
	for _, c := range []struct {
		name string
		job  job.Spec
		disk string   // that the job has started on
		want []string // of each phase; the last one is for those that are left
	}{
		{"whole disk", job.Spec{Disk: "largest", Erase: "S5GXNX0R"}, "S5GXNX0R",
			[]string{nothing, nothing, lost, lost, lost, mayLose}},
		{"blank disk", job.Spec{Disk: "serial:blank-1"}, "blank-1",
			[]string{nothing, nothing, blank, blank, blank, mayBlank}},
		{"pool that stays", job.Spec{ID: "j2", Disk: "serial:WD-WCC6Y0"}, "WD-WCC6Y0",
			[]string{nothing, nothing, kept, kept, kept, kept, either}},
		{"pool that is erased", job.Spec{ID: "j2", Disk: "serial:WD-WCC6Y0", Erase: "WD-WCC6Y0"}, "WD-WCC6Y0",
			[]string{nothing, nothing, lost, lost, lost, mayLose}},
		{"layout that keeps a pool", job.Spec{Layout: layoutOf("pool")}, "WD-WCC6Y0",
			[]string{nothing, nothing, half, kept, kept, kept, either}},
		{"layout beside a Windows", job.Spec{Layout: layoutOf("smaller")}, "S5GXNX0R",
			[]string{nothing, nothing, half, shares, shares, mayShare}},
		{"layout of a whole disk", job.Spec{Layout: layoutOf("whole")}, "S5GXNX0R",
			[]string{nothing, nothing, half, lost, lost, mayLose}},
		{"layout of a blank disk", job.Spec{Layout: layoutOf("blank")}, "blank-1",
			[]string{nothing, nothing, half, blank, blank, mayBlank}},
		{"layout that no one can read", job.Spec{Layout: json.RawMessage("[]")}, "S5GXNX0R",
			[]string{nothing, nothing, half, shares, shares, mayShare}},
		{"update", job.Spec{Kind: job.Update}, "", []string{update, update, update, update, update,
			update[:len(update)-1] + ", and the new one for the next start."}},
		{"relay", job.Spec{Kind: job.Relay}, "", []string{relays}},
		{"erase", job.Spec{Kind: job.Erase, Erase: "blank-1"}, "blank-1", []string{nothing, nothing,
			"A stop now leaves a disk without a part of its data." + erasing,
			"A stop now leaves a disk that is erased, and that was not read back." + erasing}},
	} {
		f := shared()
		f.Welcome.Job = &c.job
		m := send(New("1.0", false, Actions{}), f)
		for i, phase := range m.progress.words().phases {
			if c.disk != "" && i == 2 {
				m = send(m, Happened{job.Event{Job: "j", Phase: phase, State: job.Started, Disk: c.disk}})
			}
			m = send(m, Happened{job.Event{Job: "j", Phase: phase}})
			want := c.want[min(i, len(c.want)-1)]
			view := strings.Join(strings.Fields(m.View()), " ")
			if got := m.progress.left(); got != want || !strings.Contains(view, want) {
				t.Errorf("%s: in phase %s it says\n%s\nwant\n%s\non the page\n%s", c.name, phase, got, want, m.View())
			}
			what := strings.TrimSuffix(strings.Split(want, "leaves ")[1], erasing)
			failed := send(m, Ended{errors.New("a fault")})
			if view := strings.Join(strings.Fields(failed.View()), " "); !strings.Contains(view, "It leaves "+what) {
				t.Errorf("%s: failed in phase %s, the page is\n%s", c.name, phase, failed.View())
			}
		}
	}
}
