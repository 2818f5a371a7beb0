package tui

import (
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/tui/frame"
)

// logLines is how many events the progress and result pages keep.
const logLines = 200

// progress is what the events of a job add up to.
type progress struct {
	ref    string
	kind   job.Kind // "" means job.Install
	phase  job.Phase
	last   *job.Progress
	log    []logLine
	ended  bool
	before before
	began  time.Time // of the first event that has a time
	now    time.Time // of the last one
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
	job.PhaseErase:     "Erase the disk",
}

// relayPhases are those of a job that only relays an image.
var relayPhases = []job.Phase{job.PhaseNetwork, job.PhaseCheck, job.PhaseReceive}

// words are what the pages say of a kind of job.
type words struct {
	phases               []job.Phase
	title, done, notDone string
}

func (p progress) words() words {
	if p.kind == job.Update {
		return words{job.UpdatePhases, "updating", "Updated:", "NOT UPDATED: the system is as it was"}
	}
	if p.kind == job.Erase {
		return words{job.ErasePhases, "erasing a disk", "Erased:", "NOT ERASED"}
	}
	if p.kind == job.Relay {
		return words{relayPhases, "relaying an image", "Relayed:", "THE RELAY HAS ENDED"}
	}
	return words{job.Phases, "installing", "Installed:", "NOT INSTALLED"}
}

// at is the place of the phase among those of its kind of job; -1 if it has none yet.
func (p progress) at() int { return slices.Index(p.words().phases, p.phase) }

// phaseList draws every phase with its mark: done, running, failed, to come.
func (m Model) phaseList() []string {
	at := m.progress.at()
	var out []string
	for i, ph := range m.progress.words().phases {
		mark, style := "    ", m.theme.Faint
		switch {
		case i < at || m.progress.ended && m.err == nil:
			mark, style = " ok ", m.theme.Good
		case i == at && m.progress.ended:
			mark, style = "FAIL", m.theme.Warn
		case i == at:
			mark, style = " >> ", m.theme.Head
		}
		out = append(out, " "+style.Render("["+mark+"]")+" "+m.progress.name(ph))
	}
	return out
}

// name is what a phase is called in its kind of job.
func (p progress) name(ph job.Phase) string {
	switch {
	case p.kind == job.Erase && ph == job.PhaseCheck:
		return "Check the disk"
	case p.kind == job.Erase && ph == job.PhaseVerify:
		return "Read the disk back"
	case p.kind == job.Relay && ph == job.PhaseCheck:
		return "Check signatures"
	case p.kind == job.Relay && ph == job.PhaseReceive:
		return "Fetch the image, and send it to other machines"
	}
	return phaseNames[ph]
}

// meter shows the progress of the phase in three or four lines of width cells.
func (m Model) meter(width int) []string {
	p := m.progress
	if p.last == nil {
		return []string{"", "", ""}
	}
	l := *p.last
	second := fmt.Sprintf("%s of %s", job.Bytes(l.Done), job.Bytes(l.Total))
	if l.Wire > 0 {
		second += fmt.Sprintf(", %s over the network", job.Bytes(l.Wire))
	}
	if l.Left >= 0 && l.Done > 0 {
		second += ", " + duration(l.Left) + " left"
	}
	out := append([]string{fmt.Sprintf(" %s %3d %%", m.theme.Bar(l.Percent(), width-12), l.Percent())},
		frame.Wrap(second, 1, width)...)
	if l.Stalled {
		for _, line := range frame.Wrap("STALLED: no data for 10 seconds; still trying", 1, width) {
			out = append(out, m.theme.Warn.Render(line))
		}
	} else {
		rates := fmt.Sprintf("network %s/s, disk %s/s", job.Bytes(int64(l.WireBps)), job.Bytes(int64(l.DiskBps)))
		if p.kind == job.Erase {
			rates = fmt.Sprintf("disk %s/s", job.Bytes(int64(l.DiskBps)))
		}
		out = append(out, frame.Wrap(rates, 1, width)...)
	}
	if l.Ways != nil {
		out = append(out, frame.Wrap(clean(l.Ways.String()), 1, width)...)
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
