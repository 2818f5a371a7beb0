package plan

import (
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// shrink decides how far p is shrunk.
func (t *target) shrink(e layout.Partition, p *part, differs string) {
	if !t.canShrink(e, p, differs) {
		return
	}
	var to int64
	switch s := e.Shrink; {
	case !s.By.IsZero():
		to = p.Size - t.bytes(s.By)
	case !s.Leave.IsZero():
		to = max(p.Used, p.Minimum) + t.bytes(s.Leave)
	default:
		to = t.bytes(s.To)
	}
	switch to = roundUp(to); {
	case to == p.Size && !e.Shrink.To.IsZero():
		return // it was shrunk before
	case to < p.Minimum:
		t.refusePart(e, "%s cannot be shrunk to %d bytes: it needs %d (%s)", what(p.Partition), max(to, 0), p.Minimum,
			job.Bytes(p.Minimum))
	case to >= p.Size:
		t.refusePart(e, "%s is not larger than %s today", what(p.Partition), job.Bytes(to))
	default:
		p.fate, p.to = Shrunk, to
	}
}

func (t *target) canShrink(e layout.Partition, p *part, differs string) bool {
	switch {
	case p.Filesystem == "BitLocker":
		t.refusePart(e, "%s is encrypted by BitLocker; decrypt it in Windows: Settings, Privacy & security, Device "+
			"encryption, off; and wait until it is done", what(p.Partition))
	case differs != "":
		t.refusePart(e, "%s is there, and %s", what(p.Partition), differs)
	case !slices.Contains(layout.Shrinkable, p.Filesystem):
		t.refusePart(e, "%s cannot be shrunk", what(p.Partition))
	case p.Unfit != "":
		t.refusePart(e, "%s must not be shrunk: %s", what(p.Partition), unfit(p.Partition))
	case logical(t.table, p.Number):
		t.refusePart(e, "%s is a logical partition, and these are not shrunk so far", what(p.Partition))
	case p.Minimum <= 0:
		t.refusePart(e, "%s: the machine did not report how far it can be shrunk; start it from the network once more",
			what(p.Partition))
	default:
		return true
	}
	return false
}

// unfit says why a filesystem must not be changed, and what to do.
func unfit(p job.Partition) string {
	if (p.Unfit == job.Unclean || p.Unfit == job.Dirty) && p.Filesystem != "ntfs" {
		why := "its system has not finished its last changes of it"
		if p.Unfit == job.Dirty {
			why = "it is marked for a check"
		}
		return why + "; start its system and shut it down, or check it: `e2fsck -f` for ext2, ext3 and ext4, and a " +
			"mount for btrfs"
	}
	switch p.Unfit {
	case job.Hibernated:
		return "Windows is hibernated, or was shut down with fast startup; start Windows, choose Restart (not Shut " +
			"down), " +
			"and start this computer from the network again"
	case job.Unclean, job.Dirty:
		return "it has to be checked by its own system first; start Windows, run chkdsk /f, and restart it twice"
	}
	return job.Sentence(p.Unfit)
}

// bytes is an absolute size or a share of the disk.
func (t *target) bytes(s layout.Size) int64 {
	if s.Percent > 0 {
		// The disk is divided first: 100 times its size may be more than fits.
		return t.have.Size/100*int64(s.Percent) + t.have.Size%100*int64(s.Percent)/100
	}
	return s.Bytes
}

// roundUp rounds up to whole MiB, roundDown down.
func roundUp(n int64) int64 { return roundDown(n + mib - 1) }

func roundDown(n int64) int64 { return n &^ (mib - 1) }
