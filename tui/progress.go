package tui

import (
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
)

// logLines is how many events the progress and result pages keep.
const logLines = 8

// progress is what the events of a job add up to.
type progress struct {
	ref   string
	kind  job.Kind // "" means job.Install
	phase job.Phase
	last  *job.Progress
	log   []logLine
	ended bool
	began time.Time // of the first event that has a time
	now   time.Time // of the last one
}

type logLine struct {
	at    time.Time
	level job.Level
	text  string
}

func newProgress(ref string) progress { return progress{ref: ref} }

func (p progress) add(e job.Event) progress {
	if !e.Time.IsZero() {
		if p.began.IsZero() {
			p.began = e.Time
		}
		p.now = e.Time
	}
	if e.Phase != "" && e.Phase != p.phase {
		p.phase, p.last = e.Phase, nil
	}
	if e.Progress != nil {
		p.last = e.Progress
	}
	if text := clean(e.Message); text != "" {
		// A warning that repeats (the server does not answer) stays one line with the newest time.
		if n := len(p.log); n > 0 && p.log[n-1].text == text {
			p.log = append(p.log[:n-1:n-1], logLine{e.Time, e.Level, text})
		} else {
			p.log = append(p.log[max(0, len(p.log)-logLines+1):len(p.log):len(p.log)], logLine{e.Time, e.Level, text})
		}
	}
	return p
}

var phaseNames = map[job.Phase]string{
	job.PhaseNetwork:   "Network",
	job.PhaseCheck:     "Check signatures and disk",
	job.PhasePartition: "Partition",
	job.PhaseReceive:   "Receive image",
	job.PhaseVerify:    "Verify image",
	job.PhaseBootable:  "Make bootable",
	job.PhaseFinish:    "Finish",
	job.PhaseSwitch:    "Switch to the new system",
}

// words are what the pages say of a kind of job.
type words struct {
	phases               []job.Phase
	title, done, notDone string
}

func (p progress) words() words {
	if p.kind == job.Update {
		return words{job.UpdatePhases, "updating", " Updated:   ", " NOT UPDATED: the system is as it was"}
	}
	return words{job.Phases, "installing", " Installed: ", " NOT INSTALLED"}
}

// phaseList draws every phase with its mark: done, running, failed, to come.
func (m Model) phaseList() []string {
	at, phases := -1, m.progress.words().phases
	for i, ph := range phases {
		if ph == m.progress.phase {
			at = i
		}
	}
	var out []string
	for i, ph := range phases {
		mark := "    "
		switch {
		case i < at || m.progress.ended && m.err == nil:
			mark = " ok "
		case i == at && m.progress.ended:
			mark = "FAIL"
		case i == at:
			mark = " >> "
		}
		out = append(out, fmt.Sprintf(" [%s] %s", mark, phaseNames[ph]))
	}
	return out
}

// bar draws done of width cells.
func bar(percent, width int) string {
	n := min(max(percent, 0), 100) * width / 100
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

// meter shows the progress of the phase in three or four lines.
func (p progress) meter() []string {
	if p.last == nil {
		return []string{"", "", ""}
	}
	l := *p.last
	first := fmt.Sprintf(" %s %3d %%", bar(l.Percent(), 68), l.Percent())
	second := fmt.Sprintf(" %s of %s", job.Bytes(l.Done), job.Bytes(l.Total))
	if l.Wire > 0 {
		second += fmt.Sprintf(", %s over the network", job.Bytes(l.Wire))
	}
	if l.Left >= 0 && l.Done > 0 {
		second += ", " + duration(l.Left) + " left"
	}
	third := fmt.Sprintf(" network %s/s, disk %s/s", job.Bytes(int64(l.WireBps)), job.Bytes(int64(l.DiskBps)))
	if l.Stalled {
		third = " STALLED: no data for 10 seconds; still trying"
	}
	out := []string{first, second, third}
	if l.Ways != nil {
		out = append(out, cut(" "+clean(l.Ways.String()), Columns))
	}
	return out
}

// duration writes d to the second, as m:ss or h:mm:ss.
func duration(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
