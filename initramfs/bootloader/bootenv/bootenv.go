// Package bootenv reads and writes which root an installed machine boots: GRUB's environment block on its EFI system
// partition.
//
// Call Read with the folder where the partition is mounted, and Write to change it. Write is the switch: before it the
// machine boots the old root, after it the new one.
//
//	/griddle/grubenv, and the same in /griddle/grubenv2: 1024 bytes of text
//	+----------------------------+
//	| # GRUB Environment Block   |
//	| griddle_format=1           |
//	| griddle_good=ROOT          | the root that proved itself last
//	| griddle_candidate=ROOT     | the root to try before it; empty for none
//	| griddle_tries=0            | how often GRUB may still start the candidate, 0 to 3
//	| griddle_fresh=7            | the next fresh root of the good one is ROOT~7; only where the good root is a base
//	| griddle_spare=8            | the one after it
//	| griddle_sequence=3         | how many times it was written; only of a pool on several disks
//	| griddle_complete=yes       | all above is whole
//	+----------------------------+ at most 512 bytes: one sector of a disk, which is written whole or not at all
//	| variables of others        | such as saved_entry, which GRUB's menu knows; Write keeps them
//	| ########################## | to the end
//	+----------------------------+
//
// GRUB takes the first copy that is whole. It lowers griddle_tries in both before it starts the candidate, and takes
// griddle_fresh out of both before it starts that root. It writes to the sectors that a file has: so the files keep
// their size and place.
//
// A pool on several disks has as many EFI system partitions: ReadAll and WriteAll are for all of them (file mirror.go).
//
// Guarantees: a power cut at any time leaves the old or the new state in the copy that counts. Bytes from outside are
// ErrDamaged or a valid Env. Two programs that write at the same time have to keep out of each other's way: package
// pool has a lock.
//
// Sources: GRUB 2.06 grub-core/lib/envblk.c, grub-core/commands/loadenv.c.
package bootenv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrDamaged is wrapped by errors about bytes that are not an environment block of Griddle, whole.
var ErrDamaged = errors.New("it is not a whole environment block of Griddle")

// ErrName is wrapped by errors about names of roots that cannot be written in an environment block.
var ErrName = errors.New("GRUB cannot boot a root with this name")

// MaxTries is the largest Env.Tries.
const MaxTries = 3

// Size is the size of an environment block, in bytes.
const Size = 1024

// Env is which root boots. The zero value names none: then GRUB takes the root that proved itself last.
type Env struct {
	Good      string // name of the root that proved itself last, without "@roots/"; "" for none
	Candidate string // name of the root to try first; "" for none
	Tries     int    // how often GRUB may still start the candidate: 0 to MaxTries; 0 without a candidate
	Fresh     int    // number of the fresh root of Good that starts next, 1 to MaxFresh; 0 for none
	Spare     int    // number of the one that starts after it; 0 for none
	Sequence  int    // of a pool on several disks: the partition with the largest one counts; 0 of all others
}

const (
	signature = "# GRUB Environment Block\n"
	sector    = 512
	prefix    = "griddle_" // of our variables
	format    = "1"
)

// Parse reads an environment block. All errors are ErrDamaged.
func Parse(b []byte) (Env, error) {
	ours, _, err := variables(b)
	if err != nil {
		return Env{}, err
	}
	if ours["format"] != format || ours["complete"] != "yes" {
		return Env{}, fmt.Errorf("%w: it is of another format, or was not written to its end", ErrDamaged)
	}
	e := Env{Good: ours["good"], Candidate: ours["candidate"]}
	tries := ours["tries"]
	if len(tries) != 1 || tries[0] < '0' || tries[0] > '0'+MaxTries {
		return Env{}, fmt.Errorf("%w: the number of tries is not 0 to %d", ErrDamaged, MaxTries)
	}
	if e.Candidate != "" {
		e.Tries = int(tries[0] - '0')
	}
	e.takeFresh(ours["fresh"], ours["spare"])
	e.Sequence = freshNumber(ours["sequence"])
	if _, err := e.Bytes(); err != nil {
		return Env{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, nil
}

// Empty is an environment block without variables, which is for a disk without a pool.
func Empty() []byte { return pad(signature) }

// pad fills an environment block up.
func pad(text string) []byte {
	return append([]byte(text), bytes.Repeat([]byte("#"), Size-len(text))...)
}

// Bytes is the environment block, Size bytes. An error names what cannot be written; that of a name is ErrName.
func (e Env) Bytes() ([]byte, error) { return e.block("") }

// block is the environment block with lines of others after ours, as many as there is room for.
func (e Env) block(others string) ([]byte, error) {
	for _, name := range []string{e.Good, e.Candidate} {
		if name != "" {
			if err := CheckName(name); err != nil {
				return nil, err
			}
		}
	}
	if e.Tries < 0 || e.Tries > MaxTries || e.Candidate == "" && e.Tries > 0 {
		return nil, fmt.Errorf("writing an environment block: %d tries for the candidate %q are not possible",
			e.Tries, e.Candidate)
	}
	fresh, err := e.freshLines()
	if err != nil {
		return nil, err
	}
	if e.Sequence < 0 || e.Sequence > MaxFresh {
		return nil, fmt.Errorf("writing an environment block: the sequence number %d is not possible", e.Sequence)
	}
	if e.Sequence > 0 {
		fresh += fmt.Sprintf("%ssequence=%d\n", prefix, e.Sequence)
	}
	text := fmt.Sprintf("%[1]s%[2]sformat=%[3]s\n%[2]sgood=%[4]s\n%[2]scandidate=%[5]s\n%[2]stries=%[6]d\n%[7]s"+
		"%[2]scomplete=yes\n", signature, prefix, format, e.Good, e.Candidate, e.Tries, fresh)
	if len(text) > sector {
		return nil, fmt.Errorf("writing an environment block: %w: %s and %s have %d bytes together, %d too many",
			ErrName, e.Good, e.Candidate, len(e.Good)+len(e.Candidate), len(text)-sector)
	}
	if len(text)+len(others) < Size {
		text += others
	}
	return pad(text), nil
}

// CheckName is nil if a root with this name can be booted. Errors are ErrName. A name that begins with a dot is that
// of a root which is not finished.
func CheckName(name string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %q %s", ErrName, name, why) }
	switch {
	case name == "":
		return refuse("is empty")
	case len(name) > 255:
		return refuse("has more than 255 bytes")
	case name[0] == '.':
		return refuse("begins with a dot")
	case !utf8.ValidString(name):
		return refuse("is not UTF-8")
	}
	for _, r := range name {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`/,\'"*?[]`, r) {
			return refuse(fmt.Sprintf("has the character %q", r))
		}
	}
	return nil
}

// variables reads the variables of an environment block: ours without their prefix, and the lines of all others.
func variables(b []byte) (ours map[string]string, others string, err error) {
	if len(b) != Size {
		return nil, "", fmt.Errorf("%w: it has %d bytes, not %d", ErrDamaged, len(b), Size)
	}
	if !bytes.HasPrefix(b, []byte(signature)) {
		return nil, "", fmt.Errorf("%w: its first line is another one", ErrDamaged)
	}
	ours = map[string]string{}
	text := strings.TrimRight(string(b), "#")
	for at := len(signature); at < len(text); {
		line := firstLine(text[at:])
		at += len(line)
		variable, whole := strings.CutSuffix(line, "\n")
		name, value, is := strings.Cut(variable, "=")
		switch comment := line[0] == '#'; {
		case !whole || !is && !comment || strings.Contains(line, "\x00"):
			return nil, "", fmt.Errorf("%w: it has a line that is not a variable", ErrDamaged)
		case comment:
			continue
		}
		own, is := strings.CutPrefix(name, prefix)
		if !is {
			others += line
			continue
		}
		if _, twice := ours[own]; twice || at > sector {
			return nil, "", fmt.Errorf("%w: %q is there twice, or not in the first %d bytes", ErrDamaged, name, sector)
		}
		ours[own] = value
	}
	return ours, others, nil
}

// firstLine is text up to its first line break that has no backslash before it, as GRUB writes values of several lines.
func firstLine(text string) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			return text[:i+1]
		}
	}
	return text
}
