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
		return fmt.Sprintf("it did not end within %s and was killed", e.Limit)
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
