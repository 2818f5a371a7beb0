package tui

import (
	"slices"

	"griddle/appliance/job"
	"griddle/tui/way"
)

// before is what the disk of a job has before it, as far as it matters for what a stop leaves.
type before struct {
	blank  bool // nothing
	kept   bool // a pool, which stays and gets the new system
	shared bool // more that stays
	layout bool // the job has a layout, and continues after a stop
}

// beforeJob is before of a job on a disk, which is one of disks. With a layout no disk is needed.
func beforeJob(j job.Spec, d job.Disk, disks []job.Disk) before {
	if len(j.Layout) > 0 {
		s := way.StaysOf(j.Layout, disks)
		return before{blank: !s.Lost && !s.Pool && !s.More, kept: s.Pool, shared: s.More, layout: true}
	}
	return before{blank: d.Blank(), kept: j.Keeps(d)}
}

// leaves is what the job leaves if it ends in a phase, to follow this verb: by a power cut, by an error, or because
// someone gives up.
func (p progress) leaves(in job.Phase) string {
	begun := !slices.Contains([]job.Phase{"", job.PhaseNetwork, job.PhaseCheck}, in)
	boots := "does not boot"
	if in == job.PhaseBootable || in == job.PhaseFinish {
		boots = "may not boot"
	}
	switch {
	case p.kind == job.Relay:
		return "the disks of this machine as they were; other machines then fetch the image from the server"
	case p.kind == job.Update && in == job.PhaseSwitch:
		return "the installed system as it was, and the new one for the next start"
	case p.kind == job.Update:
		return "the installed system as it was"
	case !begun:
		return "the disk as it was"
	case p.kind == job.Erase && in == job.PhaseVerify:
		return "a disk that is erased, and that was not read back"
	case p.kind == job.Erase:
		return "a disk without a part of its data"
	case p.before.layout && in == job.PhasePartition:
		return "partitions that are changed in part. To complete that, start this machine from the network again"
	case p.before.kept && in == job.PhaseFinish:
		return "the earlier system or the new one, and all data"
	case p.before.kept:
		return "the earlier system and its data as they were"
	case p.before.shared:
		return "a new system that " + boots + ". What the plan keeps stays"
	case p.before.blank:
		return "a disk that " + boots + ". It was blank before"
	}
	return "a disk that " + boots + ". Its old content is lost"
}

// left says what the job leaves if it ends now.
func (p progress) left() string {
	const off = "Do not switch this machine off. "
	leaves := "A stop now leaves " + p.leaves(p.phase) + "."
	switch {
	case p.kind == job.Relay:
		return leaves
	case p.kind == job.Update:
		return off + leaves
	case p.kind == job.Erase && p.at() >= slices.Index(job.ErasePhases, job.PhaseErase):
		return leaves + " The erase continues at the next start."
	case slices.Index(job.Phases, p.phase) <= slices.Index(job.Phases, job.PhaseCheck):
		return "Nothing is written yet. " + leaves
	}
	return off + leaves
}
