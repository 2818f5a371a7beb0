package job

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Erase is a kind of job: it makes the data of the one disk that Spec.Erase names unrecoverable, and installs nothing.
// The Spec has neither Image nor Disk. Only an agent with FeatureErase gets one.
const Erase Kind = "erase"

// FeatureErase in Hello.Features: carries out a job of the kind Erase.
const FeatureErase = "erase"

// PhaseErase is the phase of an erase in which the data are lost.
const PhaseErase Phase = "erase"

// ErasePhases lists every phase of an erase in order.
var ErasePhases = []Phase{PhaseNetwork, PhaseCheck, PhaseErase, PhaseVerify}

// EraseLevel says from whom the data of an erased disk are safe. Purge and Clear are the words of NIST SP 800-88.
type EraseLevel string

// The levels, the strongest first. In a job "" is the strongest one that the disk can do, of Purge and Clear.
const (
	Purge   EraseLevel = "purge"   // from a laboratory: a command of the disk erases all that it has, also hidden areas
	Clear   EraseLevel = "clear"   // from all who read the disk by its interface: each byte was overwritten
	Discard EraseLevel = "discard" // from those who read the disk as it is: it was asked to forget, and reads as zeros
)

// ParseEraseLevel reads a level as an operator types it.
func ParseEraseLevel(s string) (EraseLevel, error) {
	switch l := EraseLevel(s); l {
	case "", Purge, Clear, Discard:
		return l, nil
	}
	return "", fmt.Errorf("%q is not a level of erasing: use purge, clear or discard", Printable(s))
}

// PickErase returns the one disk that name is of: its serial or WWN. It never chooses. A path, which may be another
// disk's at the next boot, is only taken for a disk that has no other name. The error lists what would work.
func PickErase(name string, disks []Disk) (Disk, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return Disk{}, fmt.Errorf("%w: an erase must name one disk; this machine has %s", ErrRule, list(disks))
	}
	var found []Disk
	for _, d := range disks {
		if d.Size > 0 && d.Named(name) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return Disk{}, fmt.Errorf("%w: no disk is named %q; this machine has %s", ErrRule, Sentence(name), list(disks))
	case 1:
	default:
		return Disk{}, fmt.Errorf("%w: %d disks are named %q: %s; use another name of the one that is meant: %s",
			ErrRule, len(found), Sentence(name), list(found), names(found, disks))
	}
	d := found[0]
	if _, best := d.NameAmong(disks); name != d.Serial && name != d.WWN && name != best && "/dev/"+name != best {
		return Disk{}, fmt.Errorf("%w: %s may be another disk at the next boot; name disk %s by %s", ErrRule,
			Sentence(name), d, best)
	}
	return d, nil
}

// names lists a name for each of found that no other disk has.
func names(found, disks []Disk) string {
	var out []string
	for _, d := range found[:min(len(found), 4)] {
		_, name := d.NameAmong(disks)
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

// EraseResult is what came of an erase.
type EraseResult string

// The results of an erase.
const (
	EraseBegun      EraseResult = "begun"      // it is under way, or was interrupted
	Erased          EraseResult = "erased"     // all of it, and verified
	EraseIncomplete EraseResult = "incomplete" // parts of the disk could not be written or read
	EraseFailed     EraseResult = "failed"     // it ended early, or data were found afterwards
)

// Certificate says what was done to a disk, by an event of the machine that erased it. The server keeps it with the job
// and in the journal.
type Certificate struct {
	Version int    `json:"version"` // 1
	Job     string `json:"job"`
	// Machine and Approved are the server's: its name of the machine, and that an operator had approved the key of the
	// boot that reports. Without that anyone on the network could have sent the certificate.
	Machine  string `json:"machine,omitempty"`
	Approved bool   `json:"approved"`
	Agent    string `json:"agent,omitempty"` // version of what erased
	// Disk is what the disk was before, without its partitions, and Held what was on it, in words.
	Disk Disk   `json:"disk"`
	Held string `json:"held,omitempty"`

	Result EraseResult `json:"result"`
	Reason string      `json:"reason,omitempty"` // why it is not Erased
	Level  EraseLevel  `json:"level,omitempty"`  // what Method reaches
	Method string      `json:"method,omitempty"` // such as "nvme-sanitize-block" or "overwrite"
	Began  time.Time   `json:"began"`            // of this boot's work
	Ended  time.Time   `json:"ended,omitzero"`
	// Resumed says that an earlier boot began the job.
	Resumed bool `json:"resumed,omitempty"`
	// Unwritten is how many bytes could not be overwritten.
	Unwritten int64        `json:"unwritten,omitempty"`
	Verified  Verification `json:"verified,omitzero"`
	// Notes are sentences about what else was tried, and what a person should know.
	Notes []string `json:"notes,omitempty"`
}

// Verification is what was read of a disk after it was erased.
type Verification struct {
	Way   string `json:"way"`   // EraseReadAll or EraseReadSamples
	Bytes int64  `json:"bytes"` // that were read
	// Data is how many of these had data before, of samples; Same how many of those have the same data still.
	Data       int64 `json:"data,omitempty"`
	Same       int64 `json:"same,omitempty"`
	Unreadable int64 `json:"unreadable,omitempty"` // bytes that could not be read
	// Zeros says that every byte that was read is 0x00.
	Zeros bool `json:"zeros,omitempty"`
}

// The values of Verification.Way.
const (
	EraseReadAll     = "all"     // every byte
	EraseReadSamples = "samples" // places across the disk, compared with what they had before
)

// maxNotes is the most notes of a certificate.
const maxNotes = 16

// Bounded returns c with every string and list cut to what the server keeps.
func (c Certificate) Bounded() Certificate {
	c.Job, c.Machine, c.Agent = NormalUUID(c.Job), Printable(c.Machine), Printable(c.Agent)
	c.Disk.Partitions = nil
	c.Disk = Inventory{Disks: []Disk{c.Disk}}.Bounded().Disks[0]
	c.Held, c.Reason = Sentence(c.Held), Sentence(c.Reason)
	c.Result, c.Level = EraseResult(Printable(string(c.Result))), EraseLevel(Printable(string(c.Level)))
	c.Method, c.Verified.Way = Printable(c.Method), Printable(c.Verified.Way)
	c.Began, c.Ended = sane(c.Began), sane(c.Ended)
	c.Notes = slices.Clone(c.Notes[:min(len(c.Notes), maxNotes)])
	for i := range c.Notes {
		c.Notes[i] = Sentence(c.Notes[i])
	}
	return c
}

// String is one line for people: the disk, what came of it and how.
func (c Certificate) String() string {
	parts := []string{fmt.Sprintf("%s: %s", c.Disk, c.Result)}
	if c.Method != "" {
		parts = append(parts, fmt.Sprintf("%s (%s)", Printable(c.Method), Printable(string(c.Level))))
	}
	if v := c.Verified; v.Way == EraseReadAll {
		parts = append(parts, "all "+Bytes(v.Bytes)+" read back")
	} else if v.Way != "" {
		parts = append(parts, Bytes(v.Bytes)+" read back as samples")
	}
	if c.Reason != "" {
		parts = append(parts, Sentence(c.Reason))
	}
	return strings.Join(parts, "; ")
}
