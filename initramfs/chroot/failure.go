package chroot

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Kind is how a program failed.
type Kind int

// The values of Kind.
const (
	Exited     Kind = iota // with an exit status other than 0
	Killed                 // by a signal
	TimedOut               // its time was over
	NotStarted             // the file or its interpreter is missing, or not executable
)

// Error is what Do returns about a program that failed.
type Error struct {
	Program string
	Kind    Kind
	Status  int           // with Exited
	Signal  string        // with Killed, such as "killed" or "segmentation fault"
	Limit   time.Duration // with TimedOut
	Why     string        // with NotStarted
	Last    []string      // the last lines of its output, at most 12
}

// Reason says in a few words how the program failed, without its name and output.
func (e *Error) Reason() string {
	switch e.Kind {
	case Killed:
		return "it was ended by a signal: " + e.Signal
	case TimedOut:
		return "it took longer than " + short(e.Limit) + " and was killed"
	case NotStarted:
		return "it cannot be started: " + e.Why
	}
	return fmt.Sprintf("it ended with exit status %d", e.Status)
}

func (e *Error) Error() string {
	text := fmt.Sprintf("running %s in the new root: %s", path.Base(e.Program), e.Reason())
	if len(e.Last) > 0 {
		text += ":\n" + strings.Join(e.Last, "\n")
	}
	return text
}

// short is d as people write it: "10m", not "10m0s".
func short(d time.Duration) string {
	text := d.String()
	if d > 0 && d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d > 0 && d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
